const axios = require('axios');
const EventSource = require('eventsource');

class ClaraCoreClient {
    constructor(baseUrl = 'http://localhost:5800', apiKey = null) {
        this.baseUrl = baseUrl;
        this.headers = { 'Content-Type': 'application/json' };
        if (apiKey) {
            this.headers['Authorization'] = `Bearer ${apiKey}`;
        }
    }

    async chatCompletion(model, messages, options = {}) {
        const response = await axios.post(`${this.baseUrl}/v1/chat/completions`, {
            model,
            messages,
            ...options
        }, { headers: this.headers });
        
        return response.data;
    }

    async downloadModel(url, modelId, filename) {
        const response = await axios.post(`${this.baseUrl}/api/models/download`, {
            url,
            modelId,
            filename
        }, { headers: this.headers });
        
        return response.data;
    }

    monitorEvents(callback) {
        let url = `${this.baseUrl}/api/events`;
        if (this.headers['Authorization']) {
            const apiKey = this.headers['Authorization'].replace('Bearer ', '');
            url += `?api_key=${apiKey}`;
        }

        const eventSource = new EventSource(url);
        eventSource.onmessage = (event) => {
            const data = JSON.parse(event.data);
            callback(data);
        };
        
        return eventSource;
    }
}

// Usage
const client = new ClaraCoreClient('http://localhost:5800', 'your-api-key');

// Chat completion
client.chatCompletion('llama-3.2-3b-instruct', [
    { role: 'user', content: 'Explain quantum computing' }
], { temperature: 0.7 }).then(response => {
    console.log(response.choices[0].message.content);
});

// Monitor events
const eventSource = client.monitorEvents((event) => {
    if (event.type === 'downloadProgress') {
        const progress = JSON.parse(event.data);
        console.log(`Download progress: ${progress.info.progress}%`);
    }
});

# One image for the server and for its worker.
FROM python:3.11-slim-bookworm

RUN useradd --system --uid 10001 --create-home claracore
WORKDIR /app

COPY requirements.txt constraints.txt ./
RUN pip install --no-cache-dir -r requirements.txt

COPY manage.py LICENSE ./
COPY claracore_site claracore_site
COPY models_app models_app
COPY proxy_app proxy_app
COPY downloads_app downloads_app
COPY ui_app ui_app
COPY templates templates
COPY static static

RUN install -d -o claracore -m 0700 /data
USER claracore
ENV CLARACORE_HOME=/data PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
VOLUME /data
CMD ["python", "manage.py", "serve", "--no-worker"]

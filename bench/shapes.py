"""Published shapes to measure memory with. The numbers are those of each model's config.json.

Each says where its numbers were read (`seen`), be it a copy or the header of a GGUF file made of
the model, and what could not be read (`unseen`). The size of a head is often given only as the
width shared out among the heads.

`FITTED` shapes were looked at while the formulas were made; `HELD_OUT` ones only afterwards.
"""

from __future__ import annotations

from typing import Final

from bench.families import Numbers

# Some have fewer layers here than published. Buffers grow with the number of layers in a straight
# line, and the engine would have to leaf through more zeros than fit in a small machine's RAM.
HUB = "https://huggingface.co/"

FITTED: Final = (
    Numbers("Llama 3.2 1B", "llama", f"{HUB}meta-llama/Llama-3.2-1B", 16, 2048, 128256, 131072,
            32, 8, 64, 8192, tied=True, weights="Q8_0",
            seen="https://github.com/kevinstephano/thunder_model_blocks/blob/HEAD/hf_llama/"
                 "llama_config.py"),
    Numbers("Qwen2.5 0.5B", "qwen2", f"{HUB}Qwen/Qwen2.5-0.5B", 24, 896, 151936, 32768,
            14, 2, 64, 4864, tied=True, weights="Q4_0",
            seen=f"{HUB}osllmai-community/Qwen2.5-0.5B/blob/main/config.json"),
    Numbers("Qwen3 0.6B", "qwen3", f"{HUB}Qwen/Qwen3-0.6B", 28, 1024, 151936, 40960,
            16, 8, 128, 3072, tied=True, weights="F16",
            seen=f"{HUB}bfuzzy1/Railz-R/blame/main/config.json"),
    Numbers("Gemma 2 2B", "gemma2", f"{HUB}google/gemma-2-2b", 26, 2304, 256000, 8192,
            8, 4, 256, 9216, window=4096, tied=True, weights="Q8_0",
            seen=f"{HUB}sfairXC/gemma-sft-1ep/blob/main/config.json"),
    Numbers("Gemma 3 1B", "gemma3", f"{HUB}google/gemma-3-1b-it", 26, 1152, 262144, 32768,
            4, 1, 256, 6912, window=512, tied=True, weights="Q5_0",
            seen="https://ollama.com/aliafshar/gemma3-it-qat-tools:1b/blobs/57c9b4a897df"),
    Numbers("Qwen3 30B-A3B", "qwen3moe", f"{HUB}Qwen/Qwen3-30B-A3B", 10, 2048, 151936, 40960,
            32, 4, 128, 6144, experts=128, experts_used=8, expert_feed_forward=768,
            weights="Q8_0",
            seen="https://gitcode.com/Ascend/MindSpeed-RL/blob/master/configs/model/"
                 "qwen3_30b_a3b.yaml",
            unseen="the dense width of 6144, which no layer uses"),
    Numbers("DeepSeek V2 Lite", "deepseek2", f"{HUB}deepseek-ai/DeepSeek-V2-Lite", 27, 2048,
            102400, 163840, 16, 0, 0, 10944, experts=64, experts_used=6,
            expert_feed_forward=1408, shared_experts=2, dense_layers=1, latent_rank=512,
            rope_length=64, nope_length=128, value_length=128, weights="Q8_0",
            seen=f"{HUB}deepseek-ai/DeepSeek-V3/blob/refs%2Fpr%2F49/inference/configs/"
                 "config_16B.json",
            unseen="the trained context"),
    Numbers("Phi-3 mini 4k", "phi3", f"{HUB}microsoft/Phi-3-mini-4k-instruct", 32, 3072, 32064,
            4096, 32, 32, 96, 8192, window=2047, weights="Q8_0",
            seen=f"{HUB}Alignment-Lab-AI/idfkphi4kiguess/blob/main/config.json"),
    Numbers("BGE small", "bert", f"{HUB}BAAI/bge-small-en-v1.5", 12, 384, 30522, 512,
            12, 0, 0, 1536, weights="F16",
            unseen="all of them"),
    Numbers("Mamba 130M", "mamba", f"{HUB}state-spaces/mamba-130m-hf", 24, 768, 50280, 1048576,
            inner_size=1536, state_size=16, conv_kernel=4, state_ranks=48, tied=True,
            seen=f"{HUB}jonathanjordan21/mos-mamba-6x130m-hf/blob/main/config.json",
            unseen="the context, which is unbounded"),
    Numbers("Qwen3.5 0.8B", "qwen35", f"{HUB}Qwen/Qwen3.5-0.8B", 24, 1024, 248320, 262144,
            8, 2, 256, 3584, inner_size=2048, state_size=128, conv_kernel=4, state_ranks=16,
            state_groups=16, tied=True, weights="Q8_0",
            seen=f"{HUB}oopere/Qwen3.5-0.65B-Base-Rearchitected/blob/main/config.json",
            unseen="the number of layers and of tokens, and that the output is tied"),
    Numbers("gpt-oss 20B", "gpt-oss", f"{HUB}openai/gpt-oss-20b", 12, 2880, 201088, 131072,
            64, 8, 64, 2880, window=128, experts=32, experts_used=4, expert_feed_forward=2880,
            weights="Q8_0",
            seen="https://gitcode.com/Ascend/slime-ascend/blob/main/scripts/models/gpt-oss-20B.sh"),
)  # fmt: skip

HELD_OUT: Final = (
    Numbers("Llama 3.1 8B", "llama", f"{HUB}meta-llama/Llama-3.1-8B", 16, 4096, 128256, 131072,
            32, 8, 128, 14336, weights="Q6_K",
            seen="https://github.com/vulkomilev/oumi/blob/HEAD/configs/recipes/llama3_1/README.md"),
    Numbers("Qwen2.5 1.5B", "qwen2", f"{HUB}Qwen/Qwen2.5-1.5B", 28, 1536, 151936, 131072,
            12, 2, 128, 8960, tied=True, weights="Q4_K",
            seen=f"{HUB}kaitchup/Qwen2.5-1.5B-AutoRound-GPTQ-asym-4bit/blame/"
                 "5b2afaa328afe39d67b206d6b0f3a5a1d43893a7/config.json",
            unseen="the number of tokens"),
    Numbers("Qwen3 8B", "qwen3", f"{HUB}Qwen/Qwen3-8B", 18, 4096, 151936, 40960,
            32, 8, 128, 12288, weights="Q8_0",
            seen=f"{HUB}thejaminator/qwen-hook-layer-9/commit/"
                 "478fb720f1f3ced834fce0275b55b2732d438edc"),
    Numbers("Gemma 2 9B", "gemma2", f"{HUB}google/gemma-2-9b", 14, 3584, 256000, 8192,
            16, 8, 256, 14336, window=4096, tied=True, weights="Q8_0",
            seen=f"{HUB}ashercn97/blanked-v011/blob/main/config.json"),
    Numbers("Gemma 3 12B", "gemma3", f"{HUB}google/gemma-3-12b-it", 24, 3840, 262208, 131072,
            16, 8, 256, 15360, window=1024, tied=True, weights="Q8_0",
            seen=f"{HUB}OpenPipe/gemma-3-12b-it-text-only/blob/main/config.json"),
    Numbers("DeepSeek V3", "deepseek2", f"{HUB}deepseek-ai/DeepSeek-V3", 4, 7168, 129280,
            163840, 128, 0, 0, 18432, experts=256, experts_used=8, expert_feed_forward=2048,
            shared_experts=1, dense_layers=3, q_rank=1536, latent_rank=512, rope_length=64,
            nope_length=128, value_length=128, weights="Q8_0",
            seen="https://gitcode.com/cann/cann-recipes-train/blob/master/llm_rl/deepseek/"
                 "verl_patches/config.json"),
    Numbers("BGE large", "bert", f"{HUB}BAAI/bge-large-en-v1.5", 24, 1024, 30522, 512,
            16, 0, 0, 4096, weights="Q8_0",
            seen=f"{HUB}Basti8499/bge-large-en-v1.5-ISO-27001/blame/main/config.json"),
    Numbers("Mamba 1.4B", "mamba", f"{HUB}state-spaces/mamba-1.4b-hf", 48, 2048, 50280, 1048576,
            inner_size=4096, state_size=16, conv_kernel=4, state_ranks=128, tied=True,
            seen=f"{HUB}SpirinEgor/mamba-1.4b-ru/blob/main/config.json",
            unseen="the number of tokens; the context, which is unbounded"),
    Numbers("gpt-oss 120B", "gpt-oss", f"{HUB}openai/gpt-oss-120b", 6, 2880, 201088, 131072,
            64, 8, 64, 2880, window=128, experts=128, experts_used=4, expert_feed_forward=2880,
            weights="Q8_0",
            seen="https://docs.nvidia.com/nemo/megatron-bridge/latest/models/llm/gpt-oss.html",
            unseen="the window"),
)  # fmt: skip

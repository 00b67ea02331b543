from __future__ import annotations

from models_app.engine_environment import engine_environment

SERVER = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LC_CTYPE": "C.UTF-8",
    "CUDA_VISIBLE_DEVICES": "0",
    "GGML_VK_VISIBLE_DEVICES": "1",
    "XDG_RUNTIME_DIR": "/run/user/1",
    "CLARACORE_SECRET_KEY": "hush",
    "AWS_SECRET_ACCESS_KEY": "hush",
    "HF_TOKEN": "hush",
    "LLAMA_ARG_CTX_SIZE": "1",
    "LD_PRELOAD": "x.so",
}


def test_an_engine_sees_what_it_needs_and_no_secret() -> None:
    assert sorted(engine_environment(SERVER, {})) == [
        "CUDA_VISIBLE_DEVICES",
        "GGML_VK_VISIBLE_DEVICES",
        "HOME",
        "LC_CTYPE",
        "PATH",
        "XDG_RUNTIME_DIR",
    ]


def test_the_models_own_variables_win() -> None:
    seen = engine_environment(SERVER, {"CUDA_VISIBLE_DEVICES": "1", "HF_TOKEN": "mine"})
    assert seen["CUDA_VISIBLE_DEVICES"] == "1"
    assert seen["HF_TOKEN"] == "mine"

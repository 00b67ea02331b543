"""Moving in from another server: what it had, brought here, and a report of it.

`first.py` ClaraCore's first implementation, `configuration.py` a config.yaml such as llama-swap's,
`ollama.py` and `lm_studio.py` folders of models. Nothing of the other server's is changed.
"""

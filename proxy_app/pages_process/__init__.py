"""Pages are rendered by a process of their own, so that streams do not wait for templates.

`desk.py` is the serving process's side, `child.py` the other one; `messages.py` is what they say.
"""

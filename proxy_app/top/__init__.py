"""`manage.py top`: what a running server does, in a terminal. `look.py` asks, `show.py` draws."""

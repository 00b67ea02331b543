"""The product's settings with a home of their own that ends with the test run."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_home = tempfile.mkdtemp(prefix="claracore-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith("CLARACORE_")]:
    if _name not in ("CLARACORE_DATABASE_URL", "CLARACORE_REDIS_URL"):
        del os.environ[_name]
os.environ["CLARACORE_HOME"] = _home
if "CLARACORE_REDIS_URL" in os.environ:
    from tests import lan

    os.environ["CLARACORE_REDIS_URL"] = lan.worker_redis_url(os.environ["CLARACORE_REDIS_URL"])

from claracore_site.settings import *  # noqa: E402, F403

# No test asks the internet; those that want releases run a server of their own.
CLARACORE_RELEASES_URL = "http://127.0.0.1:9/releases"

# Passwords of test users need no protection, and the real hasher takes half a second each.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

"""Which request goes where: inference to the gateway, everything else to Django."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "claracore_site.settings")

import django

django.setup(set_prefix=False)  # Loads the apps; what follows needs them.

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402
from django.urls import re_path  # noqa: E402

from claracore_site.lifespan import Lifespan  # noqa: E402
from claracore_site.static_files import StaticFiles  # noqa: E402
from downloads_app import news, queue  # noqa: E402
from downloads_app.engines import news as engine_news  # noqa: E402
from downloads_app.engines import orders as engine_orders  # noqa: E402
from proxy_app import log_streams, paths, questions  # noqa: E402
from proxy_app.hosts import GuardedHandler, HostGuard  # noqa: E402
from proxy_app.incoming import Receive, Scope, Send  # noqa: E402
from proxy_app.key_guard import KeyGuard  # noqa: E402
from proxy_app.pages_process.desk import PagesElsewhere  # noqa: E402
from proxy_app.proxies import TrustedProxies  # noqa: E402
from proxy_app.serving import SERVING  # noqa: E402
from proxy_app.sockets import UpstreamSocket  # noqa: E402

SERVING.questions = questions.QUESTIONS
SERVING.followers["download events"] = news.follow
SERVING.followers["engine events"] = engine_news.follow
SERVING.sweeps.append(queue.sweep)
SERVING.sweeps.append(engine_orders.sweep)


def _route(pattern: str, app: Any) -> Any:
    # Channels routes to ASGI apps with Django's URL patterns, which are typed for views.
    return re_path(pattern, app)


router: Any = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                _route(r"^/?api/events/?$", SERVING.events),
                _route(log_streams.PATHS, SERVING.telling.streams),
                _route(r"", StaticFiles(PagesElsewhere(GuardedHandler(), SERVING.pages))),
            ]
        ),
        "websocket": URLRouter([_route(r"", UpstreamSocket.as_asgi())]),
        "lifespan": Lifespan(SERVING),
    }
)


async def routed(scope: Scope, receive: Receive, send: Send) -> None:
    # Looking through the routes would take a tenth of what a request costs us.
    if scope["type"] == "http" and paths.is_ours(scope["path"]):
        await SERVING.gateway(scope, receive, send)
    else:
        await router(scope, receive, send)


application: Any = HostGuard(
    KeyGuard(routed, SERVING.keys, SERVING.take),
    settings.ALLOWED_HOSTS,
    lambda: SERVING.lineup.rules.origins,
)
if settings.CLARACORE_TRUSTED_PROXIES:
    application = TrustedProxies(application, settings.CLARACORE_TRUSTED_PROXIES)

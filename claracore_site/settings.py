"""Django settings. Everything a person may set is a CLARACORE_ variable, read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kombu import Queue

from claracore_site import env, secret_key
from models_app import nodes

BASE_DIR = Path(__file__).resolve().parent.parent

# ---- Where things lie ------------------------------------------------------------------------
CLARACORE_HOME = env.folder("HOME", BASE_DIR / "var")

CLARACORE_NODE = env.node("NODE", nodes.DEFAULT)

# ---- The server's own settings ---------------------------------------------------------------
CLARACORE_HOST = env.text("HOST", "127.0.0.1")
CLARACORE_PORT = env.integer("PORT", 5800, lowest=1, highest=65535)
CLARACORE_INSECURE = env.boolean("INSECURE", False)
CLARACORE_ADMIN_PASSWORD = env.password("ADMIN_PASSWORD")
CLARACORE_CLIENT_KEY = env.text("CLIENT_KEY")
CLARACORE_LOG_FORMAT = env.choice("LOG_FORMAT", "console", ("console", "json"))
CLARACORE_LLAMA_SERVER = env.text("LLAMA_SERVER")
CLARACORE_BACKENDS = ("cuda", "rocm", "vulkan", "metal", "cpu")
CLARACORE_BACKEND = env.choice("BACKEND", "", CLARACORE_BACKENDS)
CLARACORE_RAM_GIB = env.gibibytes("RAM")
CLARACORE_VRAM_GIB = env.gibibytes("VRAM")
CLARACORE_REDIS_URL = env.redis_url("REDIS_URL")
CLARACORE_HF_ENDPOINT = env.web_url("HF_ENDPOINT", "https://huggingface.co", also="HF_ENDPOINT")
CLARACORE_HF_TOKEN = env.secret("HF_TOKEN", also="HF_TOKEN")
CLARACORE_RELEASES_URL = env.web_url(
    "RELEASES_URL", "https://api.github.com/repos/ggml-org/llama.cpp/releases"
)
CLARACORE_DOWNLOAD_HOSTS = env.words("DOWNLOAD_HOSTS")
CLARACORE_PRIVATE_HOSTS = env.words("PRIVATE_HOSTS")
CLARACORE_MODEL_ROOTS = env.absolute_paths("MODEL_ROOTS")
CLARACORE_TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")

# ---- Django ----------------------------------------------------------------------------------
DEBUG = env.boolean("DEBUG", False)
SECRET_KEY = env.text("SECRET_KEY") or secret_key.read_or_make(CLARACORE_HOME / "secret_key")
SECRET_KEY_FALLBACKS = [
    *filter(None, [env.text("FORMER_SECRET_KEY")]),
    *secret_key.read_former(CLARACORE_HOME / "secret_key"),
]
# Read by HostGuard, which adds every loopback name and decides for all of the server; Django
# asks this list itself only where no guard stands in front (`runserver --noasgi`).
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *env.hosts("ALLOWED_HOSTS")]

INSTALLED_APPS = [
    # daphne is not listed: loading Twisted would cost every start half a second. The
    # `runserver` of proxy_app loads it when it is wanted, and so comes before staticfiles'.
    "proxy_app.apps.ProxyConfig",
    "claracore_site.apps.ClaraCoreAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_eventstream",
    "models_app.apps.ModelsConfig",
    "downloads_app.apps.DownloadsConfig",
    "ui_app.apps.UiConfig",
    "claracore_site.apps.SiteConfig",
]

MIDDLEWARE = [
    "claracore_site.api_paths.ApiPaths",
    "claracore_site.secure_cookies.SecureCookies",
    "django.middleware.security.SecurityMiddleware",
    "claracore_site.compression.CompressedPages",
    "claracore_site.content_policy.ContentPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "claracore_site.rights.RightsMiddleware",
    "claracore_site.authors.ChangeAuthorMiddleware",
    "ui_app.middleware.LiveVersionMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# Whether a request came by HTTPS is known one by one: the same server may be asked on loopback and
# through a proxy that encrypts. Cookies are marked accordingly (`SecureCookies`), and whoever wants
# nothing but HTTPS has the proxy redirect and sets CLARACORE_HSTS_SECONDS.
SECURE_HSTS_SECONDS = env.integer("HSTS_SECONDS", 0, lowest=0, highest=10 * 365 * 86400)
SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W008", "security.W012", "security.W016"]
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

ROOT_URLCONF = "claracore_site.urls"
ASGI_APPLICATION = "claracore_site.asgi.application"
# The API answers with and without a trailing slash; a redirect would lose the body of a POST.
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "claracore_site.rights.for_templates",
                "ui_app.context.frame",
            ],
        },
    },
]

AUTHENTICATION_BACKENDS = ["models_app.role_backend.RoleBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
SESSION_ENGINE = "claracore_site.session_rows"
LOGIN_URL = "ui-sign-in"
LOGIN_REDIRECT_URL = "ui-home"

# ---- Database --------------------------------------------------------------------------------
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def _sqlite(file: Path) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": file,
        "OPTIONS": {
            # Read-then-write transactions of several processes fail as locked when deferred.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "
                "PRAGMA cache_size=-16000; PRAGMA mmap_size=134217728;"
            ),
        },
    }


DATABASES: dict[str, Any] = {
    "default": env.database_url("DATABASE_URL")
    # It holds sessions, and SQLite gives the files beside it the same mode.
    or _sqlite(env.own_file(CLARACORE_HOME / "claracore.sqlite3"))
}

# ---- Background work and event fan-out -------------------------------------------------------
CLARACORE_BROKER_FOLDER = CLARACORE_HOME / "broker"
if CLARACORE_REDIS_URL:
    CELERY_BROKER_URL = env.celery_url(CLARACORE_REDIS_URL)
    # Else whoever asks for a scan would wait for ever for a Redis that does not even refuse.
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {"socket_connect_timeout": 5}
    CHANNEL_LAYERS: dict[str, Any] = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {
                "hosts": [CLARACORE_REDIS_URL],
                "prefix": nodes.queue_of("asgi", CLARACORE_NODE),
            },
        }
    }
else:
    for _folder in ("queue", "control"):
        (CLARACORE_BROKER_FOLDER / _folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    # The name means nothing here; without one every process warns that it has none.
    CELERY_BROKER_URL = "filesystem://localhost"
    CELERY_BROKER_TRANSPORT = "claracore_site.file_broker:Transport"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(CLARACORE_BROKER_FOLDER / "queue"),
        "data_folder_out": str(CLARACORE_BROKER_FOLDER / "queue"),
        "control_folder": str(CLARACORE_BROKER_FOLDER / "control"),
        "polling_interval": 0.1,
    }
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

EVENTSTREAM_CHANNELMANAGER_CLASS = "proxy_app.ui_events.Channels"

CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# What lies on a node's disks, and what shall, only its own worker can look at and fetch.
_SCANS, _DOWNLOADS = (nodes.queue_of(name, CLARACORE_NODE) for name in ("scans", "downloads"))
CELERY_TASK_QUEUES = [Queue(_SCANS), Queue(_DOWNLOADS)]
CELERY_TASK_DEFAULT_QUEUE = _SCANS
CELERY_TASK_ROUTES = {"downloads_app.*": {"queue": _DOWNLOADS}}

# ---- Static files, language, time ------------------------------------------------------------
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "claracore_site.static_addresses.StaticAddresses"},
}
LANGUAGE_CODE = "en"
LOCALE_PATHS = [BASE_DIR / "locale"]
# Looking every text up takes a fifteenth of a page, and they are written in English.
USE_I18N = LANGUAGE_CODE != "en"
TIME_ZONE = "UTC"
USE_TZ = True

# ---- REST ------------------------------------------------------------------------------------
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_RENDERER_CLASSES": ["models_app.api.rendering.Json"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "models_app.api.rendering.AlwaysTheFirst",
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "models_app.api.errors.api_exception_handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "ClaraCore",
    "DESCRIPTION": "Models, their configuration and what this server does with them.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SORT_OPERATIONS": True,
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    },
    # Neither, one or the other: whether a key is needed is a setting.
    "SECURITY": [{}, {"bearer": []}, {"header": []}],
    "ENUM_NAME_OVERRIDES": {"Backend": "models_app.api.options.BACKENDS"},
    "PREPROCESSING_HOOKS": ["models_app.api.schema.canonical_paths"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "models_app.api.schema.bodies_of_reads",
    ],
}

# ---- Log -------------------------------------------------------------------------------------
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "console": {"()": "proxy_app.logs.LineFormatter"},
        "json": {"()": "proxy_app.json_lines.JsonFormatter"},
        "line": {"()": "proxy_app.logs.LineFormatter"},
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": CLARACORE_LOG_FORMAT},
        "history": {"()": "proxy_app.logs.HistoryHandler", "formatter": "line"},
        "notices": {"()": "proxy_app.notices.NoticeHandler"},
    },
    "root": {"level": "INFO", "handlers": ["console", "history", "notices"]},
    "loggers": {
        "uvicorn.access": {"level": "WARNING"},
        "uvicorn.error": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "django_eventstream": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
    },
}

"""Settings: the one place where the environment is read. Names that carry a limit end in its unit.

Three ways to run share this file: `make up` (its supervisor passes everything by environment), a `manage.py` command
beside it (finds the running servers through DATA_DIR/state.json), and production (everything from the environment).
"""

import sys
from pathlib import Path

import environ
import structlog
from celery.schedules import crontab
from csp.constants import NONE, SELF

from cohortsync.standalone.state import default_data_dir, read_secrets, read_state

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

PORT = env.int("PORT", default=8000)
DATA_DIR = Path(env.str("DATA_DIR", default="") or default_data_dir(BASE_DIR, PORT, env.ENVIRON))
_state = read_state(DATA_DIR)
_secrets = read_secrets(DATA_DIR)

# --- Servers -----------------------------------------------------------------------------------------------------
DATABASE_URL: str | None = env.str("DATABASE_URL", default="") or (_state.database_url if _state else None)
REDIS_URL: str = env.str("REDIS_URL", default="") or (_state.redis_url if _state else "redis://127.0.0.1:1/0")
KEY_PREFIX = env.str("KEY_PREFIX", default="cohortsync:")
_sandbox_port = env.int("SANDBOX_PORT", default=0) or (_state.sandbox_port if _state else 0)
# The sandbox is part of `make up` and absent in production: there, "sandbox": true in a connection is refused.
SANDBOX_URL: str | None = f"http://127.0.0.1:{_sandbox_port}" if _sandbox_port else None
ONESIGNAL_API_URL = env.str("ONESIGNAL_API_URL", default="https://api.onesignal.com").rstrip("/")

# --- Safety ------------------------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or (_secrets.secret_key if _secrets else "")
CREDENTIAL_KEYS: list[str] = env.list("CREDENTIAL_KEYS", default=_secrets.credential_keys if _secrets else [])
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
# `make up` serves plain HTTP on loopback; everything else is expected behind a TLS proxy.
HTTPS_ONLY = env.bool("HTTPS_ONLY", default=_state is None)
SECURE_SSL_REDIRECT = HTTPS_ONLY
# A redirect would lose the body of an SDK that posts over plain HTTP.
SECURE_REDIRECT_EXEMPT = [r"^(track|import|engage|groups)/?$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS_ONLY
SECURE_HSTS_PRELOAD = HTTPS_ONLY
SESSION_COOKIE_SECURE = HTTPS_ONLY
CSRF_COOKIE_SECURE = HTTPS_ONLY
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
X_FRAME_OPTIONS = "DENY"
# Everything is served from here, and no script or style stands in a page; pages put what scripts need into attributes.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# --- Django ------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
    "django_htmx",
    "django_structlog",
    "cohortsync",
    "cohorts",
    "integrations",
]
MIDDLEWARE = [
    # Before everything else: a probe comes by address, over plain HTTP, and fills no log.
    "cohortsync.health.answer_health_first",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # What may be seen without a login says so where it is defined (`login_not_required`).
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
]
ROOT_URLCONF = "cohortsync.urls"
WSGI_APPLICATION = "cohortsync.wsgi.application"
APPEND_SLASH = False  # SDKs post to both forms; a redirect loses the body
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
                "cohortsync.pages.context.navigation",
            ]
        },
    }
]
DATABASES = {
    "default": {
        # The placeholder lets `check` and `makemigrations` run on a machine without servers.
        **env.db_url_config(DATABASE_URL or "postgres://unset:unset@127.0.0.1:1/unset"),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 10},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "cohorts.User"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LANGUAGE_CODE = "en"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(DATA_DIR / "static")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
if "test" in sys.argv or "pytest" in Path(sys.argv[0]).name or "pytest" in sys.modules:
    # Tests need no collectstatic.
    STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
# The REST API and the admin take small bodies; ingestion reads the stream itself with its own cap.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": KEY_PREFIX + "cache",
    }
}

# --- Logging in --------------------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
ACCOUNT_ADAPTER = "cohortsync.pages.account.Adapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
# Accounts are made by operators, who know whom they let in; nobody signs up.
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "CohortSync"
MFA_ALLOW_UNVERIFIED_EMAIL = True
# How many proxies stand before the web server: whose address a login attempt is counted by.
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXIES", default=0)

# --- Mail --------------------------------------------------------------------------------------------------------
# Without a server, mails (a password's reset) are written to the log of the web server.
vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="CohortSync <cohortsync@localhost>")

# --- Celery ------------------------------------------------------------------------------------------------------
SYNC_INTERVAL_MINUTES = env.int("SYNC_INTERVAL_MINUTES", default=15)
DYNAMIC_SYNC_TICK_SECONDS = env.float("DYNAMIC_SYNC_TICK_SECONDS", default=10.0)
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = False
CELERY_WORKER_MAX_TASKS_PER_CHILD = 500
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "sync"
CELERY_TASK_TIME_LIMIT = 900
CELERY_TASK_SOFT_TIME_LIMIT = 840
CELERY_TIMEZONE = "UTC"
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than the longest task; a dead worker's work is besides taken up again from the leases in PostgreSQL.
    "visibility_timeout": 1200,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_keepalive": True,
    "health_check_interval": 25,
    "global_keyprefix": KEY_PREFIX + "celery:",
}
CELERY_TASK_ROUTES = {
    "cohortsync.heartbeat": {"queue": "maintenance"},
    "integrations.*": {"queue": "sync"},
    "cohorts.*": {"queue": "maintenance"},
}
CELERY_BEAT_SCHEDULE = {
    "heartbeat": {"task": "cohortsync.heartbeat", "schedule": 10.0, "options": {"expires": 30}},
    "resume-backfills": {"task": "cohorts.resume_backfills", "schedule": 60.0, "options": {"expires": 60}},
    "sweep-redirects": {"task": "cohorts.sweep_redirects", "schedule": 30.0, "options": {"expires": 30}},
    # Days are what is kept; beat keeps no file, so an interval of a day would never end where it is restarted daily.
    "sweep-refusals": {"task": "cohorts.sweep_refusals", "schedule": 3600.0, "options": {"expires": 3600}},
    "sweep-erased-events": {"task": "cohorts.sweep_erased_events", "schedule": 60.0, "options": {"expires": 60}},
    "remove-erased": {"task": "integrations.remove_erased", "schedule": 15.0, "options": {"expires": 15}},
    "expire-events": {"task": "cohorts.expire_events", "schedule": crontab(hour="3", minute="17")},
    "forget-people-sessions": {
        "task": "cohorts.forget_people_sessions",
        "schedule": 600.0,
        "options": {"expires": 600},
    },
    "dynamic-sync": {
        "task": "integrations.dynamic_sync",
        "schedule": DYNAMIC_SYNC_TICK_SECONDS,
        "options": {"expires": 60},
    },
}

# --- Limits of ingestion -----------------------------------------------------------------------------------------
INGEST_MAX_BODY_BYTES = 10 * 1024 * 1024
INGEST_MAX_RECORDS = 2000
INGEST_MAX_RECORD_BYTES = 1024 * 1024
INGEST_TRACK_MAX_AGE_DAYS = env.int("INGEST_TRACK_MAX_AGE_DAYS", default=5)
# Per project, of `/track` and `/import` together, over a sliding minute; 0 is no limit.
INGEST_MAX_EVENTS_PER_MINUTE = env.int("INGEST_MAX_EVENTS_PER_MINUTE", default=30_000 * 60)
INGEST_MAX_BYTES_PER_MINUTE = env.int("INGEST_MAX_BYTES_PER_MINUTE", default=2 * 1024**3)
# What was refused is kept this long for the data health page; the samples hold parts of what senders sent.
REFUSALS_KEPT_DAYS = env.int("REFUSALS_KEPT_DAYS", default=30)

# --- Limits of the Query API (0: none) ------------------------------------------------------------------------------
QUERY_MAX_PER_HOUR = env.int("QUERY_MAX_PER_HOUR", default=60)
QUERY_MAX_CONCURRENT = env.int("QUERY_MAX_CONCURRENT", default=5)
QUERY_TIMEOUT_SECONDS = env.float("QUERY_TIMEOUT_SECONDS", default=60.0)
QUERY_SESSION_MINUTES = env.int("QUERY_SESSION_MINUTES", default=120)

# --- Limits of the REST API -----------------------------------------------------------------------------------------
API_MAX_REQUESTS_PER_MINUTE = env.int("API_MAX_REQUESTS_PER_MINUTE", default=1200)
API_MAX_FAILED_LOGINS_PER_MINUTE = env.int("API_MAX_FAILED_LOGINS_PER_MINUTE", default=60)

# --- Delivery (docs/operations.md explains each) --------------------------------------------------------------------
HTTP_CONNECT_TIMEOUT_SECONDS = env.float("HTTP_CONNECT_TIMEOUT_SECONDS", default=5.0)
HTTP_READ_TIMEOUT_SECONDS = env.float("HTTP_READ_TIMEOUT_SECONDS", default=20.0)
LEASE_TTL_SECONDS = env.float("LEASE_TTL_SECONDS", default=60.0)
LEASE_HEARTBEAT_SECONDS = env.float("LEASE_HEARTBEAT_SECONDS", default=5.0)
SLICE_SECONDS = env.float("SLICE_SECONDS", default=60.0)
DELIVERY_BATCH_RECIPIENTS = env.int("DELIVERY_BATCH_RECIPIENTS", default=500)
# A batch starts no request later than this after its intents were written; the rest goes into the next batch.
DELIVERY_BATCH_SECONDS = env.float("DELIVERY_BATCH_SECONDS", default=20.0)
DELIVERY_THREADS = env.int("DELIVERY_THREADS", default=24)
DELIVERY_START_REQUESTS_PER_SECOND = env.int("DELIVERY_START_REQUESTS_PER_SECOND", default=200)
DELIVERY_MAX_REQUESTS_PER_SECOND = env.int("DELIVERY_MAX_REQUESTS_PER_SECOND", default=960)
# A recipient whose request fails for a passing reason is tried this often, after pauses that double from this one.
DELIVERY_ATTEMPTS = env.int("DELIVERY_ATTEMPTS", default=4)
DELIVERY_RETRY_PAUSE_SECONDS = env.float("DELIVERY_RETRY_PAUSE_SECONDS", default=2.0)
# L11: how long the contrary of a write waits, after one that was never answered and after an accepted one.
CONTRARY_AFTER_UNANSWERED_SECONDS = env.float("CONTRARY_AFTER_UNANSWERED_SECONDS", default=120.0)
CONTRARY_AFTER_ACCEPTED_SECONDS = env.float("CONTRARY_AFTER_ACCEPTED_SECONDS", default=60.0)
MIN_SECONDS_BETWEEN_WRITES_OF_A_USER = env.float("MIN_SECONDS_BETWEEN_WRITES_OF_A_USER", default=1.1)

# --- Logs --------------------------------------------------------------------------------------------------------
_pre_chain: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
]
_is_tty = sys.stderr.isatty() or env.bool("LOG_TEXT", default=False)
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_pre_chain,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structured": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processor": (
                structlog.dev.ConsoleRenderer(
                    colors=sys.stderr.isatty(),
                    # The rich renderer would print local variables: keys, addresses.
                    exception_formatter=structlog.dev.plain_traceback,
                )
                if _is_tty
                else structlog.processors.JSONRenderer()
            ),
            "foreign_pre_chain": _pre_chain,
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        # A line per request would bury the log under ingestion; errors still come through.
        "django_structlog": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "django_structlog.middlewares": {"level": "ERROR"},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "urllib3": {"level": "ERROR"},
    },
}

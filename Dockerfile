# The production image: web, worker, beat and migrate are one image with different commands (docker-compose.yml).
FROM python:3.13-slim AS packages
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

FROM python:3.13-slim
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STATIC_ROOT=/app/staticfiles
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cohortsync
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY . .
# The key lives as long as this one command.
RUN SECRET_KEY=only-for-collectstatic python manage.py collectstatic --no-input --verbosity 0
USER cohortsync
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
CMD ["python", "-m", "gunicorn", "--config", "python:cohortsync.standalone.web", "--bind", "0.0.0.0:8000", "cohortsync.wsgi:application"]

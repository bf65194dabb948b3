"""The console: server-rendered pages over ``Resources``. ``cipo.app`` mounts what ``routes`` returns beside the Kubernetes API."""

from cipo.web.routes import routes

__all__ = ["routes"]

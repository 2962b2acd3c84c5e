"""A view of Django that tells all browsers of a new comment. `python django_view.py runserver` starts it."""

import functools
import os
import sys

from cometql import Client
from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY=os.urandom(32).hex(), ALLOWED_HOSTS=["*"])


@functools.cache
def comet() -> Client:
    """One client for each process, made when it is first needed: a server that forks its workers has forked by then."""
    return Client.connect(os.environ["COMETQL_HOSTS"].split(","), "root", os.environ["COMETQL_KEY"])


@require_POST
def add_comment(request: HttpRequest) -> HttpResponse:
    comment = {"author": request.POST["author"], "text": request.POST["text"]}
    sent = comet().publish("web_comments", comment, event="comment")
    return JsonResponse({"id": sent.id, "reached": sent.reached})


urlpatterns = [path("comments", add_comment)]
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)

"""Receives webhooks with Django, in one file: `python receiver_django.py runserver 8000` (pip install django).

In a project of your own take `meetbot_hook` into a `views.py` and its path into `urls.py`.
"""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from meetbot import webhooks

# Two while the secret is rotated, with a comma between them.
SECRETS = os.environ["MEETBOT_WEBHOOK_SECRET"].split(",")


@csrf_exempt  # the signature says who sent it
@require_POST
def meetbot_hook(request: HttpRequest) -> HttpResponse:
    try:
        event = webhooks.unwrap(request.body, request.headers, SECRETS)
    except webhooks.MeetbotSignatureError:
        return HttpResponse(status=401)
    # Keep `event.delivery_id` where you keep your data: a delivery may come twice.
    if isinstance(event.data, webhooks.Finalized):
        print("recorded:", event.data.job_id, event.data.manifest_uri, flush=True)
    elif isinstance(event.data, webhooks.Failed):
        print("failed:", event.data.job_id, event.data.failure_code, flush=True)
    return HttpResponse("ok")


urlpatterns = [path("webhook/meetbot", meetbot_hook)]

if __name__ == "__main__":
    settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="not used", ALLOWED_HOSTS=["127.0.0.1"])
    execute_from_command_line(sys.argv)

"""A shop in Django, in one file: its page shows each visitor their profile and last order.

Run it with ``uvicorn examples.web.django_shop:application``. Reads ``PERSONACLICK_SHOP_ID`` and,
for an emulator, ``PERSONACLICK_API_URL``.
"""

from __future__ import annotations

import secrets

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_POST

from examples.web.page import render, save_form, shop_page
from personaclick_async import PersonaClick
from personaclick_async.integrations.django import LifespanMiddleware

client = PersonaClick()


async def page(_: HttpRequest) -> HttpResponse:
    """Show the visitor's profile and last order."""
    return HttpResponse(await shop_page(client))


# The cookies are SameSite=Lax: another site's form can't write into a visitor's profile.
@require_POST
async def save(request: HttpRequest) -> HttpResponse:
    """Save the form."""
    wrong = await save_form(client, request.POST)
    if wrong:
        return HttpResponse(render(None, [], notice=wrong), status=422)
    return HttpResponse(status=303, headers={"Location": "/"})


async def health(_: HttpRequest) -> HttpResponse:
    """Answer a load balancer; such a request makes no call to the service."""
    return HttpResponse("ok")


urlpatterns = [path("", page), path("profile", save), path("health", health)]

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY=secrets.token_hex(),
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    MIDDLEWARE=["personaclick_async.integrations.django.VisitorMiddleware"],
    PERSONACLICK_CLIENT=client,
)
django.setup()

# Django knows no lifespan: this closes the client when the server stops.
application = LifespanMiddleware(get_asgi_application(), client)

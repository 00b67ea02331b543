"""Where the playground is, and the pages that show what is being done."""

from __future__ import annotations

from django.urls import URLPattern, path

from ui_app.model_choices import Task
from ui_app.pages import activity, logs, playground, queue

urlpatterns: list[URLPattern] = [
    path("playground/", playground.chat, name="ui-playground"),
    path("playground/wait/", playground.wait, name="ui-playground-wait"),
    *(
        path(f"playground/{task}/", playground.task, {"name": task}, name=playground.route_of(task))
        for task in Task
        if task is not Task.CHAT
    ),
    path("activity/", activity.requests, name="ui-activity"),
    path("activity/<int:pk>/", activity.one, name="ui-activity-one"),
    path("activity/end/", activity.end, name="ui-activity-end"),
    path("activity/usage.json", activity.usage, name="ui-activity-usage"),
    path("activity/requests.csv", activity.as_csv, name="ui-activity-csv"),
    path("queue/", queue.queue, name="ui-queue"),
    path("logs/", logs.logs, name="ui-logs"),
]

from __future__ import annotations

from django.db import migrations, models

STOPPED = models.BigIntegerField(
    default=0, db_default=0, help_text="Whose client left before the end; no errors."
)


class Migration(migrations.Migration):
    dependencies = [("proxy_app", "0003_request_id")]

    operations = [
        migrations.AddField("usageday", "stopped", STOPPED),
        migrations.AddField("usagehour", "stopped", STOPPED),
    ]

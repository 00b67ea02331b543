import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('models_app', '0003_load_records'),
    ]

    operations = [
        migrations.AddField(
            model_name='gguffile',
            name='draft',
            field=models.ForeignKey(blank=True, help_text='The small model of the same vocabulary that may guess ahead for this one.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='drafts_for', to='models_app.gguffile'),
        ),
        migrations.AddField(
            model_name='servedmodel',
            name='draft',
            field=models.ForeignKey(blank=True, help_text='Empty: the one that fits, when there is one.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='guesses_for', to='models_app.gguffile', verbose_name='draft model'),
        ),
        migrations.AddField(
            model_name='servedmodel',
            name='use_draft',
            field=models.BooleanField(default=False, help_text='On: a small model guesses ahead. The text stays the same; it takes memory.', verbose_name='use a draft model'),
        ),
    ]

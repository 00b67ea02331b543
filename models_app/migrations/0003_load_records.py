import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('models_app', '0002_rung'),
    ]

    operations = [
        migrations.CreateModel(
            name='LoadRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('contents', models.CharField(help_text='SHA-256 of what was loaded: sizes and times of the files.', max_length=64)),
                ('options', models.CharField(help_text='SHA-256 of the options that decide how much memory is taken.', max_length=64)),
                ('build_path', models.CharField(max_length=4096, verbose_name='engine')),
                ('build_size', models.BigIntegerField(help_text='Bytes.')),
                ('build_mtime_ns', models.BigIntegerField()),
                ('device', models.CharField(help_text='The processor and GPUs it ran on.', max_length=1024)),
                ('command', models.TextField(help_text='What was started, an option a line.')),
                ('predicted', models.BigIntegerField(blank=True, help_text='Bytes; empty for a command that was not planned.', null=True)),
                ('measured', models.BigIntegerField(blank=True, help_text='Bytes; empty where they cannot be read.', null=True)),
                ('devices', models.JSONField(blank=True, default=list, help_text='Predicted and measured bytes of each device.')),
                ('load_seconds', models.FloatField(help_text='From the start until it was ready.')),
                ('at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='when')),
                ('file', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='loads', to='models_app.gguffile')),
            ],
            options={
                'verbose_name': 'load',
                'ordering': ('-at', '-pk'),
            },
        ),
    ]

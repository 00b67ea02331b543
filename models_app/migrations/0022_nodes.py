from typing import Any

import models_app.nodes
from django.core.management.color import no_style
from django.db import migrations, models


def count_on(apps: Any, schema_editor: Any) -> None:
    """Tables that had one row, numbered 1 by us, now number their rows by themselves."""
    models = [apps.get_model('models_app', name) for name in ('ConfigFile', 'MachineReport')]
    for statement in schema_editor.connection.ops.sequence_reset_sql(no_style(), models):
        schema_editor.execute(statement)


class Migration(migrations.Migration):

    dependencies = [
        ('models_app', '0021_person_limits'),
    ]

    operations = [
        migrations.CreateModel(
            name='Node',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=63, unique=True)),
                ('home', models.CharField(help_text='Tells one home folder from another.', max_length=32)),
                ('host', models.CharField(blank=True, help_text='What its machine calls itself.', max_length=255)),
                ('seen_at', models.DateTimeField(blank=True, help_text='Empty: its server was stopped.', null=True, verbose_name='last seen')),
            ],
            options={
                'ordering': ('name',),
            },
        ),
        migrations.RemoveConstraint(
            model_name='configfile',
            name='one_config_file',
        ),
        migrations.RemoveConstraint(
            model_name='engineinstall',
            name='one_active_engine',
        ),
        migrations.RemoveConstraint(
            model_name='machinereport',
            name='one_machine_report',
        ),
        migrations.AddField(
            model_name='configfile',
            name='node',
            field=models.CharField(db_default='main', default=models_app.nodes.this_node, editable=False, help_text='The host it belongs to (CLARACORE_NODE).', max_length=63),
        ),
        migrations.AddField(
            model_name='enginebuild',
            name='node',
            field=models.CharField(db_default='main', default=models_app.nodes.this_node, editable=False, help_text='The host it belongs to (CLARACORE_NODE).', max_length=63),
        ),
        migrations.AddField(
            model_name='engineinstall',
            name='node',
            field=models.CharField(db_default='main', default=models_app.nodes.this_node, editable=False, help_text='The host it belongs to (CLARACORE_NODE).', max_length=63),
        ),
        migrations.AddField(
            model_name='gguffile',
            name='node',
            field=models.CharField(db_default='main', default=models_app.nodes.this_node, editable=False, help_text='The host it belongs to (CLARACORE_NODE).', max_length=63),
        ),
        migrations.AddField(
            model_name='machinereport',
            name='node',
            field=models.CharField(db_default='main', default=models_app.nodes.this_node, editable=False, help_text='The host it belongs to (CLARACORE_NODE).', max_length=63),
        ),
        migrations.AddField(
            model_name='modelfolder',
            name='node',
            field=models.CharField(db_default='main', default=models_app.nodes.this_node, editable=False, help_text='The host it belongs to (CLARACORE_NODE).', max_length=63),
        ),
        migrations.AddField(
            model_name='revision',
            name='node',
            field=models.CharField(db_default='main', default=models_app.nodes.this_node, editable=False, help_text='The host it belongs to (CLARACORE_NODE).', max_length=63),
        ),
        migrations.AddField(
            model_name='scanrun',
            name='node',
            field=models.CharField(db_default='main', default=models_app.nodes.this_node, editable=False, help_text='The host it belongs to (CLARACORE_NODE).', max_length=63),
        ),
        migrations.AddField(
            model_name='servedmodel',
            name='node',
            field=models.CharField(db_default='main', default=models_app.nodes.this_node, editable=False, help_text='The host it belongs to (CLARACORE_NODE).', max_length=63),
        ),
        migrations.AlterField(
            model_name='enginebuild',
            name='path',
            field=models.CharField(max_length=4096),
        ),
        migrations.AlterField(
            model_name='gguffile',
            name='path',
            field=models.CharField(max_length=4096),
        ),
        migrations.AlterField(
            model_name='modelfolder',
            name='path',
            field=models.CharField(help_text='Absolute path of the folder on the server.', max_length=4096),
        ),
        migrations.AddConstraint(
            model_name='configfile',
            constraint=models.UniqueConstraint(fields=('node',), name='one_config_file_a_node'),
        ),
        migrations.AddConstraint(
            model_name='enginebuild',
            constraint=models.UniqueConstraint(fields=('node', 'path'), name='one_build_a_path_of_a_node'),
        ),
        migrations.AddConstraint(
            model_name='engineinstall',
            constraint=models.UniqueConstraint(condition=models.Q(('active', True)), fields=('node',), name='one_active_engine_a_node'),
        ),
        migrations.AddConstraint(
            model_name='gguffile',
            constraint=models.UniqueConstraint(fields=('node', 'path'), name='one_file_a_path_of_a_node'),
        ),
        migrations.AddConstraint(
            model_name='machinereport',
            constraint=models.UniqueConstraint(fields=('node',), name='one_machine_a_node'),
        ),
        migrations.AddConstraint(
            model_name='modelfolder',
            constraint=models.UniqueConstraint(fields=('node', 'path'), name='one_folder_a_path_of_a_node'),
        ),
        migrations.RunPython(count_on, migrations.RunPython.noop),
    ]

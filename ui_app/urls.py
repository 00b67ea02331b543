from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from ui_app import server_urls, work_urls
from ui_app.pages import (
    components,
    dashboard,
    downloads,
    engines,
    hub,
    model,
    models,
    news,
    old,
    setup,
    sign_in,
)
from ui_app.texts import TEXTS

urlpatterns: list[URLPattern | URLResolver] = [
    path("", dashboard.home, name="ui-home"),
    path("sign-in/", sign_in.sign_in, name="ui-sign-in"),
    path("sign-out/", sign_in.sign_out, name="ui-sign-out"),
    path("password/", sign_in.password, name="ui-password"),
    path("welcome/", sign_in.welcome, name="ui-welcome"),
    path("welcome/<str:token>/", sign_in.welcome, name="ui-welcome-invited"),
    path("dashboard/", dashboard.dashboard, name="ui-dashboard"),
    path("models/", models.models, name="ui-models"),
    path("models/act/", models.act, name="ui-act"),
    path("models/<int:pk>/", model.model, name="ui-model"),
    path("models/<int:pk>/tune/", model.tune, name="ui-model-tune"),
    path("setup/", setup.setup, name="ui-setup"),
    path("setup/browse/", setup.browse, name="ui-setup-browse"),
    path("setup/tune/", setup.tune, name="ui-setup-tune"),
    path("setup/fetch/", setup.fetch, name="ui-setup-fetch"),
    path("scan/", setup.scan, name="ui-scan"),
    path("folders/", setup.add_folder, name="ui-add-folder"),
    path("folders/<int:pk>/remove/", setup.remove_folder, name="ui-remove-folder"),
    path("downloads/", downloads.downloads, name="ui-downloads"),
    path("downloads/act/", downloads.act, name="ui-download-act"),
    path("downloads/clear/", downloads.clear, name="ui-downloads-clear"),
    path("downloads/token/", downloads.give_token, name="ui-download-token"),
    path("downloads/limits/", downloads.set_limits, name="ui-download-limits"),
    path("downloads/address/", downloads.start_address, name="ui-download-address"),
    path("downloads/search/", hub.search, name="ui-hub-search"),
    path("downloads/start/", hub.start, name="ui-hub-start"),
    path("downloads/fit/<path:repository>/", hub.fit_of, name="ui-hub-fit"),
    path("downloads/hub/<path:repository>/", hub.model, name="ui-hub-model"),
    path("engines/", engines.engines, name="ui-engines"),
    path("engines/newest/", engines.newest, name="ui-engines-newest"),
    path("engines/act/", engines.act, name="ui-engine-act"),
    path("engines/back/", engines.roll_back, name="ui-engines-back"),
    path("engines/prune/", engines.prune, name="ui-engines-prune"),
    path("engines/check/", engines.check, name="ui-engines-check"),
    path("engines/install/", engines.install, name="ui-engines-install"),
    *work_urls.urlpatterns,
    *server_urls.urlpatterns,
    path("components/", components.components, name="ui-components"),
    path("texts.js", TEXTS, name="ui-texts"),
    path("events/", news.news, name="ui-events"),
    # The pages of the first implementation, as people bookmarked them.
    *old.PATHS,
]

"""Every call of URLR's own client against ours: it validates what it is answered.

Arguments: the API's base, a key. A code cannot be asked for with it: its own check of codes is no expression that Python knows.
"""

import datetime
import sys

import urlr
from urlr.api import domains_api, folders_api, links_api, qr_codes_api, statistics_api
from urlr.exceptions import ApiException
from urlr.models.domain_create_request import DomainCreateRequest
from urlr.models.folder_create_request import FolderCreateRequest
from urlr.models.link_create_request import LinkCreateRequest
from urlr.models.link_edit_request import LinkEditRequest
from urlr.models.qrcode_create_request import QrcodeCreateRequest
from urlr.models.qrcode_create_request_one_of import QrcodeCreateRequestOneOf
from urlr.models.qrcode_create_request_one_of1 import QrcodeCreateRequestOneOf1

configuration = urlr.Configuration(host=sys.argv[1])
configuration.api_key["ApiKeyAuth"] = sys.argv[2]


def made(kind, **fields):
    """A request with those of the fields that this version of the client knows."""
    return kind(**{name: value for name, value in fields.items() if name in kind.model_fields})


with urlr.ApiClient(configuration) as client:
    links = links_api.LinksApi(client)
    folders = folders_api.FoldersApi(client)
    domains = domains_api.DomainsApi(client)
    workspace = None
    if hasattr(urlr, "WorkspacesApi"):
        workspaces = urlr.WorkspacesApi(client)
        workspace = workspaces.workspace_list().workspaces[0].id
        assert workspaces.workspace_get(workspace).id == workspace
    own = {} if workspace is None else {"workspace_id": workspace}

    folder = folders.folder_create(folder_create_request=made(FolderCreateRequest, **own, name="Spring", color="blue"))
    assert folders.folder_get(folder.id).name == "Spring"
    assert [one.id for one in folders.folder_list(*own.values()).folders] == [folder.id]

    domain = domains.domain_create(domain_create_request=made(DomainCreateRequest, domain="mybrand.test", root_url="https://e.test/"))
    assert domains.domain_get(domain.id).domain == "mybrand.test"
    assert len(domains.domain_list().domains) == 1

    later = datetime.datetime(2040, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    link = links.link_create(
        link_create_request=made(
            LinkCreateRequest,
            **own,
            url="https://e.test/",
            folder_id=folder.id,
            label="Label",
            password="open sesame",
            delete_at=later,
            expired_at=later,
            expired_title="Over",
            tags=[],
            qrcode={"size": 200},
            utm={"source": "s"},
            metatag={"title": "T"},
            geolinks=[{"conditions": [{"type": "country", "value": "FR"}], "url": "https://fr.test/"}],
        )
    )
    assert (link.password, link.delete_at, link.expired_at) == ("**********", later, later), link
    assert link.qrcode.data.startswith("data:image/png;base64,") and link.utm.source == "s", link
    assert link.geolinks[0].conditions[0].value == "FR", link
    assert links.link_get(link.id).folder_id == folder.id
    assert links.link_edit(link.id, link_edit_request=made(LinkEditRequest, label="Other")).label == "Other"
    listed = links.link_list()
    assert (listed.total, listed.page, listed.links[0].id) == (1, 1, link.id), listed

    codes = qr_codes_api.QRCodesApi(client)
    for body in [
        made(QrcodeCreateRequestOneOf, url="https://e.test/", **own),
        made(QrcodeCreateRequestOneOf1, link_id=link.id, **own),
    ]:
        image = codes.qrcode_create(qrcode_create_request=QrcodeCreateRequest(body))
        assert bytes(image).startswith(b"\x89PNG"), image

    statistic = statistics_api.StatisticsApi(client).statistic_get(link.id)
    assert (statistic.link_id, statistic.visits, statistic.scans) == (link.id, 0, 0), statistic

    links.link_delete(link.id)
    try:
        links.link_get(link.id)
        raise SystemExit("a deleted link is there")
    except ApiException as error:
        assert error.status == 404 and "problem+json" in error.headers["content-type"], error
print("done")

"""Links whose codes the hosted service cannot make, through URLR's own client: it refuses them in answers, so they have none here,
and are links like all others otherwise. Arguments: the API's base, `url=code` of each link there is, the key.
"""

import sys

import urlr
from urlr.api import links_api, qr_codes_api, statistics_api
from urlr.exceptions import ApiException
from urlr.models.link_edit_request import LinkEditRequest
from urlr.models.qrcode_create_request import QrcodeCreateRequest
from urlr.models.qrcode_create_request_one_of1 import QrcodeCreateRequestOneOf1

base, *there, key = sys.argv[1:]
codes = dict(link.split("=") for link in there)
configuration = urlr.Configuration(host=base)
configuration.api_key["ApiKeyAuth"] = key

with urlr.ApiClient(configuration) as client:
    links = links_api.LinksApi(client)
    listed = links.link_list(limit=50)
    assert listed.total == len(codes), listed
    shown = {link.url: link.code for link in listed.links}
    assert shown == {url: code if 2 <= len(code) <= 50 else None for url, code in codes.items()}, shown
    assert None in shown.values(), shown
    for link in listed.links:
        assert links.link_get(link.id).code == link.code
        edited = links.link_edit(link.id, link_edit_request=LinkEditRequest(label="Edited"))
        assert (edited.code, edited.label) == (link.code, "Edited"), edited
        if link.code is None:
            assert statistics_api.StatisticsApi(client).statistic_get(link.id).visits == 0
            body = QrcodeCreateRequest(QrcodeCreateRequestOneOf1(link_id=link.id))
            assert bytes(qr_codes_api.QRCodesApi(client).qrcode_create(qrcode_create_request=body)).startswith(b"\x89PNG")
    last = next(link for link in listed.links if link.code is None)
    links.link_delete(last.id)
    try:
        links.link_get(last.id)
        raise SystemExit("a deleted link is there")
    except ApiException as error:
        assert error.status == 404, error
print("done")

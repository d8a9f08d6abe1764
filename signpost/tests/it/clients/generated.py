"""A client generated from each OpenAPI document that is served, as a stranger would: create, read, update, list, statistics,
delete. Arguments: the API's address, a key. The generator is openapi-python-client, of the environment this runs in.
"""

import importlib
import pathlib
import subprocess
import sys
import tempfile

address, key = sys.argv[1:]
folder = pathlib.Path(tempfile.mkdtemp())
sys.path.insert(0, str(folder))
# Formatters that it would run afterwards are not there.
(folder / "config.yml").write_text("post_hooks: []")


class Generated:
    """The client of one dialect."""

    def __init__(self, name, base, **carries):
        document = f"{address}{base}/openapi.json"
        tool = [sys.executable, "-m", "openapi_python_client", "generate", "--url", document, "--meta", "none"]
        made = [*tool, "--output-path", str(folder / name), "--config", str(folder / "config.yml")]
        said = subprocess.run(made, capture_output=True, text=True)
        assert said.returncode == 0, said.stdout + said.stderr
        self.name = name
        self.models = importlib.import_module(f"{name}.models")
        client = importlib.import_module(f"{name}.client").AuthenticatedClient
        # An answer that the document does not name is an error.
        self.client = client(base_url=address, token=key, raise_on_unexpected_status=True, **carries)

    def call(self, status, operation, *arguments, **named):
        """Calls `tag.operation`; its answer, of the type that the document says."""
        module = importlib.import_module(f"{self.name}.api.{operation}")
        answer = module.sync_detailed(*arguments, client=self.client, **named)
        assert answer.status_code == status, (operation, answer)
        return answer.parsed


def openmylink():
    c = Generated("openmylink", "/api")
    made = c.call(200, "links.post_url_add", body=c.models.LinkRequest(url="https://e.test/oml", title="One"))
    assert made.error == 0, made
    assert c.call(200, "links.get_url_id", made.id).details.longurl == "https://e.test/oml"
    assert c.call(200, "links.put_url_id_update", made.id, body=c.models.LinkRequest(title="Two")).error == 0
    listed = c.call(200, "links.get_urls", limit=5).data.urls
    assert [(link.id, link.title) for link in listed if link.id == made.id] == [(made.id, "Two")], listed
    assert c.call(200, "links.get_url_id_stats", made.id).data.total_clicks == 0
    assert c.call(200, "links.delete_url_id_delete", made.id).error == 0
    gone = c.call(200, "links.get_url_id", made.id)
    assert isinstance(gone, c.models.ErrorReply) and gone.error == 1, gone


def urlr():
    c = Generated("urlr", "/api/v2", prefix="", auth_header_name="X-API-KEY")
    made = c.call(201, "links.post_links", body=c.models.LinkRequest(url="https://e.test/urlr", label="One", code="été/one"))
    assert (made.url, made.code) == ("https://e.test/urlr", "été/one"), made
    assert c.call(200, "links.get_links_link_id", made.id).label == "One"
    assert c.call(200, "links.patch_links_link_id", made.id, body=c.models.LinkRequest(label="Two")).label == "Two"
    assert made.id in [link.id for link in c.call(200, "links.get_links", limit=50).links]
    assert c.call(200, "statistics.get_statistics", link_id=made.id).visits == 0
    assert c.call(200, "links.delete_links_link_id", made.id).id == made.id
    assert c.call(404, "links.get_links_link_id", made.id).status == 404


def minilnk():
    c = Generated("minilnk", "/api/v1")
    made = c.call(201, "links.post_links", body=c.models.NewLink(original_url="https://e.test/mini", title="One"))
    assert c.call(200, "links.get_links_id", made.id).original_url == "https://e.test/mini"
    change = c.models.LinkChange(original_url="https://e.test/mini", title="Two")
    assert c.call(200, "links.put_links_id", made.id, body=change).title == "Two"
    assert made.id in [link.id for link in c.call(200, "links.get_links").data]
    assert c.call(200, "analytics.get_links_id_analytics", made.id).summary.total_clicks == 0
    assert c.call(200, "links.delete_links_id", made.id).message == "Link deleted successfully."
    assert c.call(404, "links.get_links_id", made.id).message


def smartlinks():
    c = Generated("smartlinks", "/v1")
    made = c.call(201, "links.post_links", body=c.models.NewLink(url="https://e.test/smart", title="One"))
    assert c.call(200, "links.get_links_id", made.id).url == "https://e.test/smart"
    assert c.call(200, "links.patch_links_id", made.id, body=c.models.LinkChange(title="Two")).title == "Two"
    assert made.id in [link.id for link in c.call(200, "links.get_links", page_size=100).data]
    assert c.call(200, "analytics.get_analytics_id", made.id).metrics.clicks == 0
    c.call(204, "links.delete_links_id", made.id)
    assert c.call(404, "links.get_links_id", made.id).error.code == "not_found"


for walk in [openmylink, urlr, minilnk, smartlinks]:
    walk()
print("done")

"""Debian's nginx as a reverse proxy of the test's own: in a private folder, on a free port, ended by pid."""
import contextlib
import re
import socket
import subprocess

from stack_under_test import LOOPBACK, ROOT, wait_until

NGINX = "/usr/sbin/nginx"
MAIN = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
    scgi_temp_path {folder}/s;
{servers}
}}
"""
PLAIN = """
    server {{
        listen {address}:{port};
        large_client_header_buffers 4 32k;
        location / {{ proxy_pass http://{address}:{origin}; proxy_http_version 1.1; proxy_request_buffering off; proxy_set_header Host $http_host; }}
    }}
"""


def free_port():
    with socket.create_server((LOOPBACK, 0)) as probe:
        return probe.getsockname()[1]


def version():
    said = subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True).stderr
    return tuple(int(part) for part in re.search(r"nginx/(\d+)\.(\d+)", said).groups())


@contextlib.contextmanager
def running(folder, servers, port):
    folder.mkdir(parents=True)
    conf = folder / "nginx.conf"
    conf.write_text(MAIN.format(folder=folder, servers=servers))
    with open(folder / "start.log", "wb") as log:
        process = subprocess.Popen([NGINX, "-c", str(conf), "-p", str(folder), "-e", str(folder / "start.log")],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def listens():
        assert process.poll() is None, (folder / "start.log").read_text()
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
            return True
        return False

    try:
        wait_until(listens, 10)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def as_documented(stack, port):
    """The server block of docs/nginx.md, with this stack's names, ports and certificates in the places that it tells to replace."""
    text = (ROOT / "docs" / "nginx.md").read_text()
    block = re.search(r"```nginx\n(.*?)```", text, re.S).group(1)
    conf = (stack.folder / "bridge.conf").read_text()
    chain, key = (re.search(rf'{name} = "([^"]+)"', conf).group(1) for name in ("certificate_file", "key_file"))
    places = {"listen 443 ssl": f"listen {LOOPBACK}:{port} ssl", "127.0.0.1:8443": f"{stack.at}:{stack.https_port}",
              "portal.example.com": stack.env["PORTAL_URL"].split("//")[1].split(":")[0],
              "devices.example.net": stack.env["RELAY_DOMAIN"], "/etc/ssl/shutport.crt": chain, "/etc/ssl/shutport.key": key,
              "/etc/ssl/BRIDGE_CA.crt": stack.env["CA_FILE"]}
    for old, new in places.items():
        assert old in block, f"docs/nginx.md has no {old}"
        block = block.replace(old, new)
    return block

"""The other ways to a device that the relay is compared with, started privately and ended by pid: nginx as the device's web
server, nginx as TLS proxy, `ssh -R` behind that proxy."""
import contextlib
import getpass
import os
import pathlib
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "demo"))
import settings  # noqa: E402

LOOPBACK = "127.0.0.1"
SMALL_BYTES = 1024
BULK_BYTES = 100_000_000
READY_S = 10.0

NGINX = """daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
worker_processes 1;
load_module /usr/lib/nginx/modules/ngx_http_echo_module.so;
{user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{servers}
}}
"""
DEVICE = """    server {{
        listen {address}:{port} backlog=1024;
        root {folder}/www;
        location = /upload {{
            client_body_buffer_size 101m;
            echo_read_request_body;
            echo -n ok;
        }}
    }}
"""
PROXY = """    upstream {name} {{
        server {address}:{target};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {address}:{port} ssl backlog=1024;
        ssl_certificate {certificates}/bridge.crt;
        ssl_certificate_key {certificates}/bridge.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:{name}:1m;
        location / {{
            proxy_pass http://{name};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_buffers 16 64k;
            proxy_buffer_size 64k;
            proxy_busy_buffers_size 128k;
            proxy_max_temp_file_size 0;
            proxy_request_buffering off;
        }}
    }}
"""


def wait_listening(port, what):
    deadline = time.monotonic() + READY_S
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection((LOOPBACK, port), 1.0).close()
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} does not listen on {port}")
        time.sleep(0.05)


@contextlib.contextmanager
def process(argv, log):
    with open(log, "ab") as out:
        running = subprocess.Popen([str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(5.0)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


@contextlib.contextmanager
def nginx(folder, servers):
    folder.mkdir(parents=True, exist_ok=True)
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    conf = folder / "nginx.conf"
    conf.write_text(NGINX.format(folder=folder, user=user, servers=servers))
    with process(["/usr/sbin/nginx", "-c", conf, "-p", folder, "-e", folder / "start.log"], folder / "start.log") as running:
        yield running


@contextlib.contextmanager
def device_server(folder):
    """nginx as the device's web server; yields its port."""
    www = folder / "www"
    www.mkdir(parents=True, exist_ok=True)
    (www / "small").write_bytes(os.urandom(SMALL_BYTES))
    bulk = www / "bulk"
    if not bulk.exists() or bulk.stat().st_size != BULK_BYTES:
        bulk.write_bytes(os.urandom(BULK_BYTES))
    port = settings.free_port(LOOPBACK)
    with nginx(folder, DEVICE.format(address=LOOPBACK, port=port, folder=folder)):
        wait_listening(port, "the device's nginx")
        yield port


@contextlib.contextmanager
def tls_proxy(folder, certificates, target, name):
    """nginx with the demo's certificate before 127.0.0.1:target; yields its port."""
    port = settings.free_port(LOOPBACK)
    with nginx(folder, PROXY.format(name=name, address=LOOPBACK, target=target, port=port, certificates=certificates)):
        wait_listening(port, f"the TLS proxy {name}")
        yield port


@contextlib.contextmanager
def ssh_tunnel(folder, target):
    """A private sshd and `ssh -R` to it; yields the port on which the device's server appears."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("host_key", "user_key"):
        key = folder / name
        key.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    sshd_port, port = settings.free_port(LOOPBACK), settings.free_port(LOOPBACK)
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    conf = folder / "sshd_config"
    conf.write_text(f"Port {sshd_port}\nListenAddress {LOOPBACK}\nHostKey {folder}/host_key\nPidFile {folder}/sshd.pid\n"
                    f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
                    "PermitRootLogin prohibit-password\nAllowTcpForwarding yes\n")
    # sshd insists on a directory below /run; it gets a /run of its own.
    inside = 'mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec /usr/sbin/sshd -D -e -f "$0"'
    with process(["unshare", "--mount", "sh", "-c", inside, conf], folder / "sshd.log"):
        wait_listening(sshd_port, "sshd")
        ssh = ["ssh", "-N", "-F", "/dev/null", "-p", sshd_port, "-i", folder / "user_key", "-o", "IdentitiesOnly=yes", "-o",
               f"UserKnownHostsFile={folder}/known_hosts", "-o", "StrictHostKeyChecking=accept-new", "-o", "ExitOnForwardFailure=yes",
               "-R", f"{LOOPBACK}:{port}:{LOOPBACK}:{target}", f"{getpass.getuser()}@{LOOPBACK}"]
        with process(ssh, folder / "ssh.log"):
            wait_listening(port, "ssh -R")
            yield port

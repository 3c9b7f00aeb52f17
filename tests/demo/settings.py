"""What the demo stack's programs are told: places, ports and configuration files. Writes files, starts nothing."""
import os
import pwd
import random
import re
import secrets
import shlex
import socket

from keeper import write_file

PORTAL_HOST = "portal.localhost"
RELAY_DOMAIN = "dev.localhost"
BRIDGE_NAME = "bridge-1"
MONITOR_NAME = "monitor"
ADMIN_NAME = "admin"
SERVER_NAME = "main"  # the section title in agent.conf, and with it the folder of registration.json
LOOPBACK = "127.0.0.1"

PORT_FIRST, PORT_LAST = 18000, 31999  # below the range that the kernel gives to outgoing connections


def free_port(*addresses):
    """A port that is free on all of them now. Picked at random, so that stacks started together do not meet."""
    for _ in range(200):
        port = random.randint(PORT_FIRST, PORT_LAST)
        held = []
        try:
            for address in dict.fromkeys(addresses):
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                probe = socket.socket(family, socket.SOCK_STREAM)
                held.append(probe)
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
            return port
        except OSError as problem:
            if problem.errno == 97 and ":" in address:  # no IPv6 here: nobody can take the port there either
                return port
        finally:
            for probe in held:
                probe.close()
    raise OSError("no free port found")


class Places:
    """Every file of one stack, from its folder."""

    def __init__(self, run_dir, build_dir, source_dir):
        self.run = os.path.abspath(run_dir)
        self.build = os.path.abspath(build_dir)
        self.source = os.path.abspath(source_dir)
        self.demo = os.path.join(self.source, "tests", "demo")
        self.env = self.file("env")
        self.log = self.file("log")
        self.pids = self.file("pids")
        self.certificates = self.file("certificates")
        self.bridge_conf = self.file("bridge.conf")
        self.broker_conf = self.file("broker.conf")
        self.database = self.file("registry.db")
        self.admin_password = self.file("secrets", "admin")
        self.bridge_secret = self.file("secrets", "bridge")
        self.monitor_secret = self.file("secrets", "monitor")
        self.state = self.file("state")

    def file(self, *parts):
        return os.path.join(self.run, *parts)

    def device(self, name, *parts):
        return self.file("devices", name, *parts)

    def program(self, room, name):
        return os.path.join(self.build, room, name)

    def make(self):
        for path in (self.log, self.pids, self.file("devices"), self.state):
            os.makedirs(path, exist_ok=True)
        os.makedirs(self.file("secrets"), mode=0o700, exist_ok=True)


class Choices:
    """--set PART.KEY=VALUE, by part."""

    PARTS = ("bridge", "agent", "broker")

    def __init__(self, texts=()):
        self.values = {part: {} for part in self.PARTS}
        for text in texts:
            key, equals, value = text.partition("=")
            part, dot, name = key.partition(".")
            if not (equals and dot and name and part in self.PARTS):
                raise ValueError(f"--set wants bridge.KEY=VALUE, agent.KEY=VALUE or broker.KEY=VALUE, not {text!r}")
            self.values[part][name] = value

    def of(self, part):
        return self.values[part]


def quoted(value):
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def conf_lines(values, indent=""):
    return "".join(f"{indent}{key} = {value if isinstance(value, int) else quoted(value)}\n" for key, value in values.items())


def chosen(value):
    return int(value) if value.lstrip("-").isdigit() else value


def write_bridge_conf(places, ports, listen, choices):
    values = {
        "name": BRIDGE_NAME,
        "listen_address": listen,
        "listen_port": ports["https"],
        "public_port": ports["https"],
        "portal_host": PORTAL_HOST,
        "relay_domain": RELAY_DOMAIN,
        "certificate_file": os.path.join(places.certificates, "bridge.crt"),
        "key_file": os.path.join(places.certificates, "bridge.key"),
        "database_file": places.database,
        "state_dir": places.state,
        "broker_host": dial_address(listen),
        "broker_port": ports["mqtt"],
        "broker_ca_file": os.path.join(places.certificates, "ca.crt"),
        "broker_secret_file": places.bridge_secret,
        "broker_public_host": dial_address(listen),
        "broker_public_port": ports["mqtt"],
        "metrics_address": LOOPBACK,
        "metrics_port": ports["metrics"],
        "log_level": "info",
    }
    values.update({key: chosen(value) for key, value in choices.of("bridge").items()})
    write_file(places.bridge_conf, conf_lines(values), mode=0o600)


def write_broker_conf(places, ports, listen, choices):
    """The configuration that ships, filled in; what is chosen replaces the line of that name or is added."""
    with open(os.path.join(places.source, "broker-config", "mosquitto.conf.in"), encoding="utf-8") as template:
        text = template.read()
    fill = {"PORT": ports["mqtt"], "ADDRESS": listen, "STATE_DIR": places.run, "DATABASE": places.database,
            "PLUGIN": os.path.join(places.build, "broker-config", "shutport_auth.so"),
            "USER": pwd.getpwuid(os.geteuid()).pw_name}
    text = re.sub(r"@([A-Z_]+)@", lambda match: str(fill[match.group(1)]), text)
    for key, value in choices.of("broker").items():
        line = f"{key} {value}"
        text, replaced = re.subn(rf"(?m)^{re.escape(key)}\s.*$", lambda _, line=line: line, text)
        if not replaced:
            text += line + "\n"
    write_file(places.broker_conf, text)


def broker_environment(places):
    """What glibc must be told: it gives the top of the heap back after each large message, which costs most of the speed."""
    with open(os.path.join(places.source, "broker-config", "mosquitto.env"), encoding="utf-8") as lines:
        pairs = (line.strip().partition("=") for line in lines if "=" in line and not line.startswith("#"))
        return {key: value for key, _, value in pairs}


def write_agent_conf(places, name, display_name, services, ports, choices):
    """`services`: {service name: {"url": ..., "tls_pin": ... or absent}}."""
    values = {
        "state_dir": places.device(name, "state"),
        "log_level": "info",
        "name": name,
        "display_name": display_name,
        "serial_number": f"DEMO-{name.upper()}",
        "model": "Shutport demo device",
        "place": "On this machine",
        "domain_name": f"{name}.demo.example.com",
        "panel_port": free_port(LOOPBACK),  # a machine of its own would have 7680
    }
    values.update({key: chosen(value) for key, value in choices.of("agent").items()})
    text = conf_lines(values)
    server = {"url": f"https://{PORTAL_HOST}:{ports['https']}", "ca_file": os.path.join(places.certificates, "ca.crt"),
              "user": ADMIN_NAME}
    text += f'server "{SERVER_NAME}" {{\n{conf_lines(server, "    ")}}}\n'
    for service, keys in services.items():
        text += f'service "{service}" {{\n{conf_lines(keys, "    ")}}}\n'
    write_file(places.device(name, "agent.conf"), text, mode=0o600)


def dial_address(listen):
    """Where to dial what listens there."""
    return LOOPBACK if listen == "0.0.0.0" else listen


def new_secret():
    return secrets.token_urlsafe(18)


def write_env(places, values):
    write_file(places.env, "".join(f"{key}={shlex.quote(str(value))}\n" for key, value in values.items()), mode=0o600)


def read_env(path):
    """The assignments of .run/env. Raises FileNotFoundError when no stack runs."""
    with open(path, encoding="utf-8") as lines:
        pairs = (line.rstrip("\n").partition("=") for line in lines)
        return {key: "".join(shlex.split(value)) for key, _, value in pairs}

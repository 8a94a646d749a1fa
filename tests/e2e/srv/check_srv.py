#!/usr/bin/env python3
# Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
"""jobrt reaches its store by a mongodb+srv URI: the hosts and the options are looked up in DNS.

Runs itself once more in namespaces of its own, where a network of nothing but loopback and another /etc/resolv.conf make
every name this program's to answer. The stand-in (JOBRT_STANDIN) serves there, the real jobrt (JOBRT_PROGRAM) uses it."""
import ctypes, fcntl, json, os, shutil, socket, struct, subprocess, sys, tempfile, time, urllib.request

from names import NameServer

PASSWORD = "s3cret-srv"
folder = ""
failures = []


def check(holds, what):
    if not holds: failures.append(what)
    return holds


def skip(why):
    print(f"skipped: mongodb+srv is not looked up here: {why}", flush=True)
    sys.exit(77)


def enter():
    """This program once more, in namespaces where it may do all that; the kernel may refuse them."""
    if not os.access(os.environ.get("JOBRT_STANDIN", ""), os.X_OK):
        skip("no MongoDB; set JOBRT_STANDIN to what tools/standin prints")
    for program in "unshare", "mount":
        if not shutil.which(program): skip(f"there is no {program} (util-linux)")
    ways = [["unshare", "--net", "--mount"], ["unshare", "--user", "--map-root-user", "--net", "--mount"]]
    for way in ways if os.geteuid() == 0 else ways[1:]:
        if subprocess.run([*way, "mount", "--bind", __file__, __file__], stderr=subprocess.DEVNULL).returncode == 0:
            os.execvp(way[0], [*way, sys.executable, __file__, "inside"])
    skip("this kernel lets nobody here make namespaces of the network and of mounts")


def up():
    """Loopback is down in a new namespace."""
    with socket.socket() as any_socket:
        request = struct.pack("16sh", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS
    for name, text in {"resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", "nsswitch.conf": "hosts: files dns\n"}.items():
        with open(f"{folder}/{name}", "w") as file: file.write(text)
        if os.path.exists(f"/etc/{name}"):
            subprocess.run(["mount", "--bind", f"{folder}/{name}", f"/etc/{name}"], check=True)
        elif name == "resolv.conf":
            skip("there is no /etc/resolv.conf to put another over")


def wait_for(what, done, limit=30):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if done(): return True
        time.sleep(0.05)
    return check(False, f"not within {limit} s: {what}")


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def standin(port, *words):
    os.makedirs(f"{folder}/{port}", exist_ok=True)
    open(f"{folder}/empty.toml", "w").close()
    server = start([os.environ["JOBRT_STANDIN"], "--host", "127.0.0.1", "--port", str(port), "--storage-path",
                    f"{folder}/{port}/data", "--config", f"{folder}/empty.toml", "--sync-on-commit", *words], str(port))
    wait_for(f"the stand-in at port {port}", lambda: answers(port) or server.poll() is not None)
    return server


def bson(document):
    out = b""
    for name, value in document.items():
        key = name.encode() + b"\0"
        if isinstance(value, str): out += b"\x02" + key + struct.pack("<i", len(value.encode()) + 1) + value.encode() + b"\0"
        elif isinstance(value, int): out += b"\x10" + key + struct.pack("<i", value)
        elif isinstance(value, list): out += b"\x04" + key + bson({str(n): one for n, one in enumerate(value)})
        else: out += b"\x03" + key + bson(value)
    return struct.pack("<i", len(out) + 5) + out + b"\0"


def command(port, document):
    """One command by MongoDB's wire protocol (OP_MSG)."""
    body = struct.pack("<i", 0) + b"\0" + bson(document)
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, 2013) + body)
        reply = connection.recv(65536)
    check(b"\x01ok\0" + struct.pack("<d", 1) in reply, f"{next(iter(document))} was refused: {reply!r}")


def variables(uri):
    keep = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")}
    return {**keep, "MONGODB_URI": uri, "JOBRT_DOWNLOAD_DIR": f"{folder}/downloads", "PORT": "4000", "JOBRT_HEARTBEAT_MS": "500", "JOBRT_GRACE_MS": "500"}


def jobrt(uri, *words):
    ended = subprocess.run([os.environ["JOBRT_PROGRAM"], *words], env=variables(uri), cwd=folder, capture_output=True, text=True, timeout=60)
    check(PASSWORD not in ended.stdout + ended.stderr, f"the password of {uri} is shown: {ended.stdout}{ended.stderr}")
    return ended


DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # A proxy of the machine's is not in here.


def request(path, body=None):
    try:
        with DIRECT.open(urllib.request.Request("http://127.0.0.1:4000" + path, body, {"content-type": "application/json"}), timeout=5) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return {}


def refused(uri, *words):
    ended = jobrt(uri, "jobs", "list")
    check(ended.returncode != 0, f"{uri} was taken")
    for word in ("MONGODB_URI", *words):
        check(word in ended.stderr, f"the refusal of {uri} does not say {word}: {ended.stderr}")


def start(argv, log, environment=None):
    """Ends with this program, however that ends."""
    die_too = lambda: ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
    with open(f"{folder}/{log}.log", "a") as file:
        return subprocess.Popen(argv, env=environment, cwd=folder, stdout=file, stderr=file, preexec_fn=die_too)


def works(uri, meanwhile=lambda: None):
    """The API puts a job in, the worker does it, and a third process lists it."""
    serving = start([os.environ["JOBRT_PROGRAM"]], "jobrt", variables(uri))
    entered = []

    def enter_one():
        entered.extend([job["id"] for job in [request("/api/jobs", b'{"kind":"demo.echo"}').get("job")] if job])
        return entered or serving.poll() is not None
    try:
        meanwhile()
        wait_for(f"a job by {uri}", enter_one)
        if not check(entered, f"no job by {uri}"): return
        path = "/api/jobs/" + entered[0]
        wait_for(f"the end of the job by {uri}", lambda: request(path).get("job", {}).get("status") == "completed")
        listed = jobrt(uri, "jobs", "list", "--status", "completed", "--json")
        check(entered[0] in listed.stdout, f"jobs list by {uri} says {listed.stdout}{listed.stderr}")
    finally:
        serving.terminate()
        serving.wait(30)


def certificates():
    """An authority, and a certificate of its for db1.example.test, and for where the stand-in says that it is; False without openssl."""
    if not shutil.which("openssl"): return False
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    with open(f"{folder}/names", "w") as file: file.write("subjectAltName=DNS:db1.example.test,IP:127.0.0.1\n")
    for words in (["req", "-x509", *key, "-keyout", "ours.key", "-out", "ours.pem", "-subj", "/CN=ours", "-days", "2"],
                  ["req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=db1.example.test"],
                  ["x509", "-req", "-in", "server.csr", "-CA", "ours.pem", "-CAkey", "ours.key", "-CAcreateserial", "-days", "2",
                   "-extfile", "names", "-out", "server.pem"]):
        subprocess.run(["openssl", *words], cwd=folder, check=True, stderr=subprocess.DEVNULL)
    return True


def service(name):
    return "_mongodb._tcp." + name


def main():
    up()
    plain, encrypted = 27017, 27018  # Everything is free here.
    names = NameServer({
        ("A", "db1.example.test"): ["127.0.0.1"], ("A", "db1.other.test"): ["127.0.0.1"],
        ("SRV", service("queue.example.test")): [(plain, "db1.example.test")],
        ("TXT", "queue.example.test"): ["authSource=people&replicaSet=secantus"],
        ("SRV", service("open.example.test")): [(plain, "db1.example.test")], ("TXT", "open.example.test"): ["tls=false"],
        ("SRV", service("outside.example.test")): [(plain, "db1.other.test")],
        ("SRV", service("secure.example.test")): [(encrypted, "db1.example.test")],
    })
    user = {"createUser": "ada", "pwd": PASSWORD, "roles": [{"role": "readWrite", "db": "app"}], "$db": "people"}
    servers = []
    uri = "mongodb+srv://ada:" + PASSWORD + "@{}/app?{}"
    try:
        servers.append(standin(plain))
        command(plain, user)
        servers[0].kill()
        servers[0].wait()
        servers[0] = standin(plain, "--auth")
        # The user is in a database that only the TXT record names.
        works(uri.format("queue.example.test", "tls=false"))
        for question in (("SRV", service("queue.example.test")), ("TXT", "queue.example.test"), ("A", "db1.example.test")):
            check(question in names.asked, f"nobody asked for {question}")
        refused(uri.format("absent.example.test", "tls=false"), "absent.example.test", "_mongodb._tcp", "DNS")
        refused(uri.format("outside.example.test", "tls=false"), "outside.example.test", "_mongodb._tcp", "domain")
        check(("A", "db1.other.test") not in names.asked, "a host outside the domain was looked up")
        refused(uri.format("queue.example.test", "tls=false&replicaSet=another"), "queue.example.test", "replica set another")
        refused(uri.format("open.example.test", "authSource=people"), "open.example.test", "TXT")  # Nobody else says not to encrypt.

        # Who starts before its name is there goes on when it is.
        def appears():
            wait_for("a look for the name", lambda: ("SRV", service("late.example.test")) in names.asked)
            for kind, name in ("TXT", "{}"), ("SRV", service("{}")):  # In this order: the SRV record is what is looked for.
                names.records[kind, name.format("late.example.test")] = names.records[kind, name.format("queue.example.test")]
        works(uri.format("late.example.test", "tls=false"), appears)

        if certificates():  # Without tls=false it is encrypted.
            servers.append(standin(encrypted, "--tls-cert-file", f"{folder}/server.pem", "--tls-key-file", f"{folder}/server.key"))
            secure = "mongodb+srv://secure.example.test/app?tlsCAFile=" + folder
            works(secure + "/ours.pem")
            refused(uri.format("secure.example.test", "authSource=people"), "secure.example.test", "TLS")
        else:
            print("skipped: TLS behind mongodb+srv: there is no openssl", flush=True)
    finally:
        for server in servers:
            server.kill()
            server.wait()


if __name__ == "__main__":
    if sys.argv[1:] != ["inside"]: enter()
    with tempfile.TemporaryDirectory(prefix="jobrt-srv-") as folder:
        try:
            main()
        finally:
            if failures or sys.exc_info()[0]:
                for log in sorted(os.listdir(folder)):
                    if log.endswith(".log"): print(f"--- {log}\n{open(os.path.join(folder, log)).read()[-3000:]}")
            for failure in failures: print("failed: " + failure, flush=True)
    sys.exit(1 if failures else 0)

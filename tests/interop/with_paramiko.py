"""paramiko: an SSH server and a client, a command with a lot of output, SFTP."""

import os
import socket
import tempfile
import threading

import paramiko

BIG = bytes(range(256)) * 4000


class Server(paramiko.ServerInterface):
    def check_auth_password(self, username, password):
        good = (username, password) == ("tipy", "secret")
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        def answer():
            channel.sendall(command[::-1] + BIG)
            channel.send_exit_status(7)
            channel.close()
        threading.Thread(target=answer, daemon=True).start()
        return True


class Files(paramiko.SFTPServerInterface):
    def open(self, path, flags, attr):
        handle = paramiko.SFTPHandle(flags)
        handle.readfile = handle.writefile = open(os.path.join(place, path.strip("/")), "w+b"
                                                  if flags & os.O_CREAT else "r+b")
        return handle

    def stat(self, path):
        return paramiko.SFTPAttributes.from_stat(os.stat(os.path.join(place, path.strip("/"))))


def serve():
    while True:
        connection, _ = listener.accept()
        transport = paramiko.Transport(connection)
        transport.add_server_key(key)
        transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
        transport.start_server(server=Server())


place = tempfile.mkdtemp()
key = paramiko.RSAKey.generate(2048)
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, daemon=True).start()
with paramiko.SSHClient() as client:
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect("127.0.0.1", listener.getsockname()[1], "tipy", "secret", look_for_keys=False,
                   allow_agent=False, timeout=20)
    _, out, _ = client.exec_command("run", timeout=20)
    assert out.read() == b"nur" + BIG and out.channel.recv_exit_status() == 7
    with client.open_sftp() as sftp:
        with sftp.open("file", "w") as file:
            file.write(BIG)
        with sftp.open("file", "r") as file:
            assert file.read() == BIG
print(paramiko.__version__, "password, a command with 1 MB of output, SFTP both ways")

"""A certificate authority, and what it signed: made by the openssl program, once per place."""

import subprocess

import pytest

HANG = 60
_NAMES = {"localhost": "DNS:localhost,IP:127.0.0.1,IP:192.168.2.200,IP:192.168.2.199",
          "other": "DNS:other.test", "client": "DNS:client.test"}


def _openssl(place, *words):
    subprocess.run(["openssl", *words], cwd=place, check=True, capture_output=True, timeout=HANG)


def make(place):
    """In the directory `place`: ca.crt; localhost.pem, other.pem and client.pem (key and certificate in one
    file, signed by the authority); domain.key (passphrase "secret") and domain.crt as the tutorial makes
    them.

    Skips the test where there is no openssl."""
    try:
        _openssl(place, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out",
                 "ca.crt", "-days", "2", "-subj", "/CN=tipy test CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        for name, names in _NAMES.items():
            (place / "names").write_text(f"subjectAltName={names}\nauthorityKeyIdentifier=keyid\n")   # 3.13 insists
            _openssl(place, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out",
                     f"{name}.csr", "-subj", f"/CN={name}")
            _openssl(place, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                     "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", f"{name}.crt")
            both = (place / f"{name}.key").read_text() + (place / f"{name}.crt").read_text()
            (place / f"{name}.pem").write_text(both)
        _openssl(place, "req", "-newkey", "rsa:2048", "-keyout", "domain.key", "-x509", "-days", "2", "-out",
                 "domain.crt", "-passout", "pass:secret", "-subj", "/CN=localhost")
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no certificates can be made here: {error}")
    return place

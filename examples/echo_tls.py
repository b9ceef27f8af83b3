"""A TLS echo server in asyncio, from the standard library alone. First make a key and a certificate:

    openssl req -newkey rsa:2048 -keyout domain.key -x509 -days 365 -out domain.crt -subj /CN=localhost
    PYTHONPATH=. python3 -m tipy run --ifname tap7 examples/echo_tls.py domain.key domain.crt
    openssl s_client -connect 192.168.2.200:1234

The server asks for the passphrase of the key, if it has one. Prints:

    listening on 0.0.0.0:1234
    received b'hello\\n' by TLSv1.3
"""

import asyncio
import ssl
import sys


async def echo(reader, writer):
    version = writer.get_extra_info("ssl_object").version()
    try:
        while data := await reader.read(65536):
            print(f"received {data!r} by {version}", flush=True)
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError) as error:
        print("a client is gone:", error, flush=True)
    finally:
        writer.close()


async def main(key="domain.key", certificate="domain.crt", port="1234"):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(echo, "0.0.0.0", int(port), ssl=context)
    print(f"listening on 0.0.0.0:{port}", flush=True)
    async with server:
        await server.serve_forever()


try:
    asyncio.run(main(*sys.argv[1:]))
except KeyboardInterrupt:
    print("bye")

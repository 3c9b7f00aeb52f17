#!/usr/bin/env python3
"""Passes TCP connections on, unread. Used with ./run --listen ADDR: names under .localhost lead to 127.0.0.1, so what
comes there is passed on to ADDR.

usage: forward.py LISTEN_ADDRESS PORT TARGET_ADDRESS
"""
import asyncio
import sys

PIECE_BYTES = 64 * 1024


async def pass_on(reader, writer):
    try:
        while data := await reader.read(PIECE_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def main(listen_address, port, target_address):
    async def serve(reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(target_address, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pass_on(reader, far_writer), pass_on(far_reader, writer))
        far_writer.close()
        writer.close()

    server = await asyncio.start_server(serve, listen_address, port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))

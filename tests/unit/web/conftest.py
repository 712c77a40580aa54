from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from tests.unit.web.web_style_guide import build_style_guide


@pytest.fixture(scope="session")
def style_guide() -> FastAPI:
    return build_style_guide()


@pytest.fixture
async def client(style_guide: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=style_guide)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client

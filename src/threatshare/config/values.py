"""What single settings may be."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

Purpose = Literal["live", "demo", "exercise"]
TlpLabel = Literal["clear", "green", "amber", "amber+strict", "red"]
Reliability = Literal["A", "B", "C", "D", "E", "F"]
Percent = Annotated[int, Meta(ge=0, le=100)]
Positive = Annotated[int, Meta(gt=0)]
Uri = Annotated[str, Meta(pattern=r"^(?!http:)[a-z][a-z0-9+.-]*:[!-~]+\Z", max_length=500)]
LanguageTag = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*\Z")]

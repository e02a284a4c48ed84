"""The recipes around the partition function: a pool of processes, Ray, Spark's and Airflow's."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from personaclick_async.sync import SyncOptions
from personaclick_async.sync.submitted import SubmittedPartitions
from tests.conftest import MakeClient
from tests.distributed.support import write_parts
from tests.sync.engine.support import expected, people, stored
from personaclick_async.emulator import Emulator

"""The nightly sync as a task of Apache Airflow (3.0 or later, TaskFlow).

The task's body, :func:`run_sync`, calls the nightly script and needs no Airflow; the tests run it.
The DAG around it is only made where Airflow is installed. It was written from Airflow's
documentation and is tested with stand-ins for Airflow's two decorators, not with Airflow itself.

Put this package on the workers' path and this file where Airflow looks for DAGs. The tasks read
``PERSONACLICK_SHOP_ID`` and ``PERSONACLICK_SHOP_SECRET`` from the workers' environment, so that
no DAG holds the secret. The journal must be in a folder that all workers share.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from examples.nightly_sync import summary, sync_customers


def run_sync(customers: str, mapping: str | None, journal: str) -> dict[str, int]:
    """Send the customers of a file; return counts, which Airflow keeps in XCom.

    Raises what the sync raises, so that Airflow retries; what was delivered is not sent again.
    """
    report = asyncio.run(
        sync_customers(
            Path(customers),
            mapping=None if mapping is None else Path(mapping),
            journal=Path(journal),
        )
    )
    return summary(report)


def make_dag() -> object:
    """Make the DAG; only where Airflow is installed."""
    sdk = importlib.import_module("airflow.sdk")

    def nightly() -> None:
        task = sdk.task(task_id="sync", retries=3, retry_delay=timedelta(minutes=10))
        task(run_sync)(
            os.environ.get("CUSTOMERS_FILE", "/data/customers.csv"),
            os.environ.get("CUSTOMERS_MAPPING"),
            os.environ.get("CUSTOMERS_JOURNAL", "/data/nightly-sync.db"),
        )

    declare = sdk.dag(
        dag_id="personaclick_nightly_sync",
        schedule="@daily",
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,  # a journal belongs to one run at a time
    )
    dag: object = declare(nightly)()
    return dag


if importlib.util.find_spec("airflow") is not None:
    dag = make_dag()

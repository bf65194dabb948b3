"""Facts and KPIs, first cut: indicators over rolling windows, straight on PostgreSQL.

The seam for the full engine is ``measure.Question`` in and ``measure.Verdict`` out; whoever asks (the ``Kpi`` resource's reconciler, the
CLI, the console) knows nothing of how facts become a number.
"""

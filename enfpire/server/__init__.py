"""The operator's online side: it holds no client's secret, and its types have no room for one."""

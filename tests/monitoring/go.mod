// The definitions of the Prometheus operator, which clusters have that are watched by it. Nothing of it is built.
module pullkeeper/tests/monitoring

go 1.26.7

require github.com/prometheus-operator/prometheus-operator v0.85.0

// The types of Prometheus' operator, of which the check of the Helm chart reads the fields of a PodMonitor.
module github.com/meetbot-dev/meetbot/xtask/deploy/monitor

go 1.26.0

require github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring v0.95.2

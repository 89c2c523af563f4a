// KEDA's module, of which the check of the Helm chart reads the schemas of the custom resources.
module github.com/meetbot-dev/meetbot/xtask/deploy/keda

go 1.26.0

require github.com/kedacore/keda/v2 v2.20.2

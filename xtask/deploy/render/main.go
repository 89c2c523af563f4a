// Command render prints the manifests that Helm makes of a chart: render CHART [VALUES.yaml].
package main

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

func main() {
	if err := render(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func render(arguments []string) error {
	chart, err := loader.LoadDir(arguments[0])
	if err != nil {
		return err
	}
	if err := chart.Validate(); err != nil {
		return err
	}
	values := chartutil.Values{}
	for _, file := range arguments[1:] {
		if values, err = chartutil.ReadValuesFile(file); err != nil {
			return err
		}
	}
	release := chartutil.ReleaseOptions{Name: "main", Namespace: "meetings", IsInstall: true, Revision: 1}
	// It checks the values by the chart's schema.
	all, err := chartutil.ToRenderValues(chart, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, all)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Ext(name) == ".yaml" {
			fmt.Printf("---\n# %s\n%s\n", name, files[name])
		}
	}
	return nil
}

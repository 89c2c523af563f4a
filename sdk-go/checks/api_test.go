package checks

import (
	"fmt"
	"go/types"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// kept lists what the SDK exports: a line for each name, field and method. UPDATE in the environment lets new lines be added; a line that is no longer
// true is a change that breaks programs, and is taken out by hand, with a new major version once there is a first one.
const kept = "api.txt"

func TestAPIStaysAsItIsListed(t *testing.T) {
	t.Parallel()
	text := must(os.ReadFile(kept))(t)
	found, listed := exported(t), map[string]bool{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		listed[line] = true
		if !slices.Contains(found, line) {
			t.Errorf("the code has this no longer, which breaks programs that use it; if that is meant, take the line out of %s: %s", kept, line)
		}
	}
	if os.Getenv("UPDATE") != "" && !t.Failed() {
		if err := os.WriteFile(kept, []byte(strings.Join(found, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, line := range found {
		if !listed[line] {
			t.Errorf("%s does not list this: run cargo xtask update: %s", kept, line)
		}
	}
}

// exported are the lines of all public packages, sorted.
func exported(t *testing.T) (lines []string) {
	t.Helper()
	config := packages.Config{Mode: packages.NeedName | packages.NeedTypes | packages.NeedImports | packages.NeedDeps | packages.NeedSyntax | packages.NeedTypesInfo}
	found := must(packages.Load(&config, path, path+"/webhook", path+"/meetbottest"))(t)
	if len(found) != 3 || packages.PrintErrors(found) > 0 {
		t.Fatalf("%d packages are read", len(found))
	}
	for _, one := range found {
		scope := one.Types.Scope()
		for _, name := range scope.Names() {
			if object := scope.Lookup(name); object.Exported() {
				lines = append(lines, linesOf(object)...)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// named writes a package by its name alone.
func named(of *types.Package) string { return of.Name() }

// linesOf are the lines of one name: of a struct, a line for each field; an interface is one line with all its methods, since one more breaks who implements it.
func linesOf(object types.Object) []string {
	of := object.Pkg().Name()
	if constant, ok := object.(*types.Const); ok {
		return []string{fmt.Sprintf("%s = %s", types.ObjectString(object, named), constant.Val())}
	}
	declared, ok := object.(*types.TypeName)
	if !ok {
		return []string{types.ObjectString(object, named)}
	}
	name := of + "." + declared.Name()
	lines := []string{fmt.Sprintf("type %s %s", name, types.TypeString(declared.Type().Underlying(), named))}
	if fields, ok := declared.Type().Underlying().(*types.Struct); ok {
		lines[0] = fmt.Sprintf("type %s struct", name)
		for field := range fields.Fields() {
			if field.Exported() {
				lines = append(lines, fmt.Sprintf("field %s.%s %s", name, field.Name(), types.TypeString(field.Type(), named)))
			}
		}
	}
	if types.IsInterface(declared.Type()) {
		return lines
	}
	methods := types.NewMethodSet(types.NewPointer(declared.Type()))
	for method := range methods.Methods() {
		if method.Obj().Exported() {
			lines = append(lines, types.ObjectString(method.Obj(), named))
		}
	}
	return lines
}

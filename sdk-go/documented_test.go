package meetbot

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryExportedNameIsDocumentedAndItsTextBeginsWithIt(t *testing.T) {
	names := 0
	check := func(name string, exported bool, doc *ast.CommentGroup, at token.Position) {
		if !exported {
			return
		}
		names++
		if doc == nil || !strings.Contains(strings.SplitN(doc.Text(), "\n", 2)[0], name) {
			t.Errorf("%s: %s has no text that begins with it", at, name)
		}
	}
	for _, folder := range []string{".", "webhook", "meetbottest"} {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(set, name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, declaration := range file.Decls {
				switch declaration := declaration.(type) {
				case *ast.FuncDecl:
					visible := declaration.Recv == nil || ast.IsExported(receiver(declaration.Recv.List[0].Type))
					check(declaration.Name.Name, declaration.Name.IsExported() && visible, declaration.Doc, set.Position(declaration.Pos()))
				case *ast.GenDecl:
					specs(declaration, func(name string, exported bool, doc *ast.CommentGroup, at token.Pos) {
						check(name, exported, doc, set.Position(at))
					})
				}
			}
		}
	}
	if names < 300 {
		t.Errorf("only %d names were found", names)
	}
}

func receiver(of ast.Expr) string {
	if pointer, ok := of.(*ast.StarExpr); ok {
		of = pointer.X
	}
	return of.(*ast.Ident).Name
}

// specs calls check for the types, their fields, and the variables of a declaration. Constants of one type share the text before them.
func specs(of *ast.GenDecl, check func(string, bool, *ast.CommentGroup, token.Pos)) {
	for _, spec := range of.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			check(spec.Name.Name, spec.Name.IsExported(), of.Doc, spec.Pos())
			fields, ok := spec.Type.(*ast.StructType)
			if !ok || !spec.Name.IsExported() {
				continue
			}
			for _, field := range fields.Fields.List {
				for _, name := range field.Names {
					check(name.Name, name.IsExported(), field.Doc, field.Pos())
				}
			}
		case *ast.ValueSpec:
			if of.Tok == token.VAR {
				doc := spec.Doc
				if doc == nil {
					doc = of.Doc
				}
				check(spec.Names[0].Name, spec.Names[0].IsExported(), doc, spec.Pos())
			}
		}
	}
}

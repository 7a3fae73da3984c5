package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"strings"
	"text/tabwriter"
	"text/template"
	"unicode"
)

// templateFunctions are those of Docker's templates.
var templateFunctions = template.FuncMap{
	"json":     jsonText,
	"split":    strings.Split,
	"join":     joinValues,
	"title":    titleWords,
	"upper":    strings.ToUpper,
	"lower":    strings.ToLower,
	"pad":      pad,
	"truncate": truncate,
}

func jsonText(value any) (string, error) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return strings.TrimSpace(text.String()), err
}

// joinValues joins the members of a list, which JSON has made a list of anything.
func joinValues(list any, separator string) (string, error) {
	values := reflect.ValueOf(list)
	if kind := values.Kind(); kind != reflect.Slice && kind != reflect.Array {
		return "", fmt.Errorf("join wants a list, not %T", list)
	}
	texts := make([]string, values.Len())
	for i := range texts {
		texts[i] = fmt.Sprint(values.Index(i).Interface())
	}
	return strings.Join(texts, separator), nil
}

// titleWords gives every word a capital letter.
func titleWords(text string) string {
	inWord := false
	return strings.Map(func(r rune) rune {
		first := !inWord
		inWord = !unicode.IsSpace(r)
		if first {
			return unicode.ToTitle(r)
		}
		return r
	}, text)
}

// pad puts spaces before and after a text that is not empty.
func pad(text string, before, after int) string {
	if text == "" {
		return ""
	}
	return strings.Repeat(" ", max(0, before)) + text + strings.Repeat(" ", max(0, after))
}

// truncate returns the first length bytes of a text.
func truncate(text string, length int) string {
	return text[:min(max(0, length), len(text))]
}

// errTemplate is an error of the user's template, in Docker's words.
func errTemplate(err error) error { return fmt.Errorf("template parsing error: %w", err) }

// parseTemplate reads a Go template, in which the shell's \t and \n mean what they look like.
func parseTemplate(format string) (*template.Template, error) {
	format = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format)
	t, err := template.New("").Funcs(templateFunctions).Parse(format)
	if err != nil {
		return nil, errTemplate(err)
	}
	return t, nil
}

// printTemplate prints each row by a Go template.
func printTemplate[R any](out io.Writer, rows []R, t *template.Template) error {
	for _, row := range rows {
		if err := t.Execute(out, row); err != nil {
			return errTemplate(err)
		}
		fmt.Fprintln(out)
	}
	return nil
}

// headings are what stands above the columns of a template's table, by the names of the row's fields.
type headings map[string]string

// Label is the heading of a column with one label: the last part of the label's name.
func (headings) Label(name string) string {
	return strings.ToUpper(name[strings.LastIndexByte(name, '.')+1:])
}

// headingsOf returns the headings of a type of rows: the tag "heading" of each field, or else its name in words.
func headingsOf(row reflect.Type) headings {
	all := headings{}
	for i := range row.NumField() {
		field := row.Field(i)
		heading := field.Tag.Get("heading")
		if heading == "" {
			heading = words(field.Name)
		}
		all[field.Name] = heading
	}
	return all
}

// words is the name of a field as a heading: CreatedAt is CREATED AT.
func words(name string) string {
	var text strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) && unicode.IsLower(rune(name[i-1])) {
			text.WriteByte(' ')
		}
		text.WriteRune(unicode.ToUpper(r))
	}
	return text.String()
}

// headingFunctions leave headings as they are where a template changes values.
func headingFunctions() template.FuncMap {
	functions := maps.Clone(templateFunctions)
	same := func(heading string) string { return heading }
	for _, name := range []string{"json", "title", "lower", "upper"} {
		functions[name] = same
	}
	functions["split"] = func(heading, _ string) string { return heading }
	functions["join"] = functions["split"]
	functions["truncate"] = func(heading string, _ int) string { return heading }
	return functions
}

// printTemplateTable prints the rows in columns, below the headings of the fields that the template uses.
func printTemplateTable[R any](rows []R, format string) error {
	t, err := parseTemplate(format)
	if err != nil {
		return err
	}
	heading, err := t.Clone()
	if err != nil {
		return errTemplate(err)
	}
	var out bytes.Buffer
	table := tabwriter.NewWriter(&out, 0, 0, 3, ' ', 0)
	err = printTemplate(table, []headings{headingsOf(reflect.TypeFor[R]())}, heading.Funcs(headingFunctions()))
	if err == nil {
		err = printTemplate(table, rows, t)
	}
	if err != nil {
		return err
	}
	table.Flush()
	_, err = out.WriteTo(templateOutput(format))
	return err
}

// printObjects prints objects by a Go template that may use the names of their fields, or those of their JSON. A name
// that an object does not have is an error; a key that a map of names and values lacks, such as a label, is not.
func printObjects(objects []any, format string) error {
	t, err := parseTemplate(format)
	if err != nil {
		return err
	}
	for _, object := range objects {
		var text bytes.Buffer
		if t.Execute(&text, object) != nil {
			text.Reset()
			err = printDecoded(&text, object, t)
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(&text)
		if _, err := text.WriteTo(templateOutput(format)); err != nil {
			return err
		}
	}
	return nil
}

// printDecoded prints an object by a template that uses the names of its JSON.
func printDecoded(out io.Writer, object any, t *template.Template) error {
	raw, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("print by --format: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // a size is not printed as 1.2e+07
	var decoded any
	if err := decoder.Decode(&decoded); err != nil {
		return fmt.Errorf("print by --format: %w", err)
	}
	strict, err := t.Clone()
	if err == nil {
		err = strict.Option("missingkey=error").Execute(out, decoded)
	}
	if err != nil {
		return errTemplate(err)
	}
	return nil
}

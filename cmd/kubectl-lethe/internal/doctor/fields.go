package doctor

import (
	"reflect"
	"strings"
)

// fields are the names of a type's own fields as they stand in an object, each below a
// part of it.
func fields[T any](part string) []string {
	var names []string
	for field := range reflect.TypeFor[T]().Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name != "" && name != "-" && !strings.Contains(options, "inline") {
			names = append(names, part+"."+name)
		}
	}
	return names
}

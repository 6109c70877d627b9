package adamem_test

import (
	"iter"
	"testing"
)

// collect is all that an iterator yields, which may hold no error.
func collect[T any](t testing.TB, items iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for item, err := range items {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, item)
	}
	return all
}

// Package pytorch holds the sample trainer in Python; the Go side only runs its tests.
package pytorch

// Package v1alpha1 is the public API of Lethe: the TrainingRun and
// DatasetRetention kinds of group lethe.dev, with their conditions and reasons.
//
// Everything a user may write or read is declared here and nowhere else. Rules
// that the API server can check by itself are CEL markers on the types, so they
// hold even when the operator is away.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=lethe.dev
package v1alpha1

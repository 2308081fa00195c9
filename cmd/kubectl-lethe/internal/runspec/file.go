package runspec

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

const kind = "TrainingRun"

// maxFile bounds a file, in bytes: the API server takes no more in a request.
const maxFile = 3 << 20

// Read reads one TrainingRun, in YAML or JSON. Anything else in the file, a field that
// is not known or one that is given twice is an error. What the API server writes into
// a run is left out, so that a run that was read from it can be started anew.
func Read(in io.Reader) (*v1alpha1.TrainingRun, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the run: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("the file is longer than %d MiB", maxFile>>20)
	}
	document, err := only(data)
	if err != nil {
		return nil, err
	}
	run, err := decode(document)
	if err != nil {
		return nil, err
	}
	if run.Name == "" && run.GenerateName == "" {
		return nil, errors.New("the file gives the run no metadata.name, and no metadata.generateName")
	}
	run.Status = v1alpha1.TrainingRunStatus{}
	run.UID, run.ResourceVersion, run.Generation, run.ManagedFields = "", "", 0, nil
	run.CreationTimestamp.Reset()
	run.Finalizers = nil
	return run, nil
}

// decode does what the API server does for a strict request: the case of a field's name
// counts, and errors say where it stands.
func decode(document []byte) (*v1alpha1.TrainingRun, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register kinds: %w", err)
	}
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal(document, &meta); err != nil {
		return nil, fmt.Errorf("the file holds no %s: %w", kind, err)
	}
	if meta.Kind != kind || meta.APIVersion != v1alpha1.GroupVersion.String() {
		return nil, fmt.Errorf("the file holds a %q of %q; it must hold a %s of %s", meta.Kind, meta.APIVersion, kind, v1alpha1.GroupVersion)
	}
	var run v1alpha1.TrainingRun
	codecs := serializer.NewCodecFactory(scheme, serializer.EnableStrict)
	if _, _, err := codecs.UniversalDeserializer().Decode(document, nil, &run); err != nil {
		return nil, fmt.Errorf("the file holds no %s: %w", kind, err)
	}
	run.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	return &run, nil
}

// only gives the one document of a file that is not empty.
func only(data []byte) ([]byte, error) {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	var found []byte
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the run: %w", err)
		}
		if empty(document) {
			continue
		}
		if found != nil {
			return nil, errors.New("the file holds more than one object; give each run a file of its own")
		}
		found = document
	}
	if found == nil {
		return nil, errors.New("the file is empty")
	}
	return found, nil
}

// empty says that a document consists of comments.
func empty(document []byte) bool {
	for line := range strings.Lines(string(document)) {
		line = strings.TrimSpace(line)
		if line != "" && line != "---" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// Encode writes a run as YAML, without what is empty.
func Encode(run *v1alpha1.TrainingRun) ([]byte, error) {
	shown := run.DeepCopy()
	shown.ManagedFields = nil
	data, err := yaml.Marshal(shown)
	if err != nil {
		return nil, fmt.Errorf("encode the run: %w", err)
	}
	return data, nil
}

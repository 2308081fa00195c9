// Package selftest proves on the machine itself that the lab leaves nothing
// behind. Its test destroys the running lab, so it only runs when asked to:
//
//	go test ./selftest -destroy-lab
package selftest

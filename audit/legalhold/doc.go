// Package legalhold folds what the control log says of legal holds: what they cover is
// neither erased nor retired, whatever retention or a person asks for, until they are
// lifted.
package legalhold

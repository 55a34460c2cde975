// Stands in the executable for an optional package that is left out: requiring it fails as if it were not installed.
throw Object.assign(new Error('not part of the executable'), { code: 'MODULE_NOT_FOUND' });

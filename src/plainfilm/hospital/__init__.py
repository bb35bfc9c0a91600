"""A model among a hospital's systems: films come by DICOM, answers go back by DICOM, nothing is lost on the way."""
